//! System calls as strace(1) writes them: `name(arguments) = result`.
//!
//! Source: the manual pages of the calls; the kernel's include/uapi/linux/{dm-ioctl,loop,blkpg,fs}.h.

use super::dm;
use crate::failure::push_errno;
use crate::text::{Line, push, push_hex, push_number, word};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{BLKGETSIZE64, BLKPG, BLKSSZGET};
use linux_raw_sys::loop_device::{LOOP_CONFIGURE, LOOP_CTL_GET_FREE};

/// What the kernel gets: the call's number, and six arguments, of which a call takes the first.
pub type Call = [usize; 7];

/// What arguments point to. Addresses are those of a call that was made, or is being made.
pub trait Memory {
    fn bytes(&self, address: usize, len: usize) -> &[u8];
    /// What ends with a NUL.
    fn text(&self, address: usize) -> &[u8];
}

/// Of longer texts and data only so many bytes are shown.
const SHOWN: usize = 100;
/// The last values that a call can return are errors.
const ERRORS: usize = 4095;

/// The calls that the init makes, each with a letter for each argument:
/// `f` a file, `p` a path or another text, `d` data of as many bytes as the next argument says, `r` the same of as many as the result, `c` an
/// ioctl and its argument, `u` a number, `i` one with a sign, `x` an address; upper-case letters are flags, see [`FLAGS`].
const CALLS: &[u8] = b"read:fru write:fdu close:f fstat:fx mmap:xuPMfu rt_sigprocmask:uxxu ioctl:fc pread64:fxuu \
nanosleep:xx getpid: socket:uuu recvfrom:frux bind:fxu setsockopt:fuuxu clone:uxxxx execve:pxx wait4:ixWx flock:fu chdir:p \
statfs:px pivot_root:pp chroot:p mount:pppFp umount2:pU reboot:xxx init_module:xup getdents64:fxu clock_gettime:ux exit_group:u \
openat:fpOu mkdirat:fpu unlinkat:fpA symlinkat:pfp ppoll:xuxxu signalfd4:ixuO finit_module:fpu add_key:ppdui syslog:uxu";
const NUMBERS: [u32; 38] = [
    __NR_read,
    __NR_write,
    __NR_close,
    __NR_fstat,
    __NR_mmap,
    __NR_rt_sigprocmask,
    __NR_ioctl,
    __NR_pread64,
    __NR_nanosleep,
    __NR_getpid,
    __NR_socket,
    __NR_recvfrom,
    __NR_bind,
    __NR_setsockopt,
    __NR_clone,
    __NR_execve,
    __NR_wait4,
    __NR_flock,
    __NR_chdir,
    __NR_statfs,
    __NR_pivot_root,
    __NR_chroot,
    __NR_mount,
    __NR_umount2,
    __NR_reboot,
    __NR_init_module,
    __NR_getdents64,
    __NR_clock_gettime,
    __NR_exit_group,
    __NR_openat,
    __NR_mkdirat,
    __NR_unlinkat,
    __NR_symlinkat,
    __NR_ppoll,
    __NR_signalfd4,
    __NR_finit_module,
    __NR_add_key,
    __NR_syslog,
];

/// For each letter of [`CALLS`] that stands for flags a line: the letter, what all names begin with, and each name behind its bit, `A`
/// for the first.
const FLAGS: &[u8] = b"OO_ AWRONLY BRDWR GCREAT JTRUNC LNONBLOCK ODIRECT QDIRECTORY RNOFOLLOW TCLOEXEC VPATH
FMS_ ARDONLY BNOSUID CNODEV DNOEXEC ESYNCHRONOUS HDIRSYNC KNOATIME LNODIRATIME NMOVE VRELATIME YSTRICTATIME
PPROT_ AREAD
MMAP_ BPRIVATE
WW ANOHANG
UMNT_ BDETACH
AAT_ JREMOVEDIR";

const DM_NAMES: &[u8] = b"- - - DM_DEV_CREATE DM_DEV_REMOVE - DM_DEV_SUSPEND - - DM_TABLE_LOAD - - DM_TABLE_STATUS DM_LIST_VERSIONS";

/// Appends a call and what it returned; `None`: it does not return.
pub fn describe(line: &mut Line, call: &Call, answer: Option<usize>, memory: &dyn Memory) {
    let [number, arguments @ ..] = call;
    let place = NUMBERS.iter().position(|known| *known as usize == *number);
    let known = place.map_or(&b"syscall:xxxxxx"[..], |place| word(CALLS, place));
    let mut parts = known.split(|byte| *byte == b':');
    push(line, parts.next().unwrap_or_default());
    push(line, b"(");
    let kinds = parts.next().unwrap_or_default();
    let mut rest = &arguments[..];
    for (place, kind) in kinds.iter().enumerate() {
        let [argument, others @ ..] = rest else {
            break;
        };
        if place != 0 {
            push(line, b", ");
        }
        rest = others;
        let next = others.first().copied().unwrap_or(0);
        push_argument(line, *kind, *argument, next, answer.unwrap_or(0), memory);
    }
    push(line, b") = ");
    match answer {
        None => push(line, b"?"),
        Some(answer) if answer.wrapping_neg() <= ERRORS && answer != 0 => {
            push_errno(line, answer.wrapping_neg());
        }
        Some(answer) => push_pointer_or_number(line, answer),
    }
}

fn push_argument(
    line: &mut Line,
    kind: u8,
    argument: usize,
    next: usize,
    answer: usize,
    memory: &dyn Memory,
) {
    match kind {
        b'f' if argument as i32 == AT_FDCWD => push(line, b"AT_FDCWD"),
        b'f' | b'i' => push_signed(line, argument),
        b'p' if argument == 0 => push(line, b"NULL"),
        b'p' => push_quoted(line, memory.text(argument)),
        b'd' => push_quoted(line, memory.bytes(argument, next)),
        b'r' if answer <= next => push_quoted(line, memory.bytes(argument, answer)),
        b'c' => push_ioctl(line, argument as u32, next, memory),
        b'A'..=b'Z' => push_flags(line, kind, argument),
        b'u' => push_number(line, argument as u64),
        _ => push_address(line, argument),
    }
}

/// Numbers that the kernel takes as an int.
fn push_signed(line: &mut Line, number: usize) {
    if (number as i32) < 0 {
        push(line, b"-");
    }
    push_number(line, (number as i32).unsigned_abs().into());
}

fn push_pointer_or_number(line: &mut Line, number: usize) {
    if number >> 32 == 0 {
        push_number(line, number as u64);
    } else {
        push_address(line, number);
    }
}

fn push_address(line: &mut Line, address: usize) {
    if address == 0 {
        return push(line, b"NULL");
    }
    push(line, b"0x");
    let bytes = address.to_be_bytes();
    let zeros = (address.leading_zeros() / 8) as usize;
    push_hex(line, bytes.get(zeros..).unwrap_or_default());
}

fn push_quoted(line: &mut Line, bytes: &[u8]) {
    push(line, b"\"");
    for byte in bytes.iter().take(SHOWN) {
        match byte {
            b'"' | b'\\' => push(line, &[b'\\', *byte]),
            b' '..=b'~' => push(line, &[*byte]),
            _ => {
                push(line, b"\\x");
                push_hex(line, &[*byte]);
            }
        }
    }
    push(line, b"\"");
    if bytes.len() > SHOWN {
        push(line, b"...");
    }
}

fn push_flags(line: &mut Line, kind: u8, flags: usize) {
    let mut left = flags;
    let mut sets = FLAGS.split(|byte| *byte == b'\n');
    let set = sets.find(|set| set.first() == Some(&kind));
    let mut names = set
        .and_then(|set| set.get(1..))
        .unwrap_or_default()
        .split(|byte| *byte == b' ');
    let prefix = names.next().unwrap_or_default();
    for name in names {
        let Some((bit, name)) = name.split_first() else {
            continue;
        };
        let bit = 1 << (bit - b'A');
        if left & bit != 0 {
            if left != flags {
                push(line, b"|");
            }
            push(line, prefix);
            push(line, name);
            left &= !bit;
        }
    }
    if left != 0 || flags == 0 {
        if left != flags {
            push(line, b"|");
        }
        match left {
            0 => push(line, b"0"),
            left => push_address(line, left),
        }
    }
}

/// The request and, in braces, what its argument says.
fn push_ioctl(line: &mut Line, request: u32, argument: usize, memory: &dyn Memory) {
    const REQUESTS: [u32; 5] = [
        LOOP_CTL_GET_FREE,
        LOOP_CONFIGURE,
        BLKSSZGET,
        BLKGETSIZE64,
        BLKPG,
    ];
    const NAMES: &[u8] = b"LOOP_CTL_GET_FREE LOOP_CONFIGURE BLKSSZGET BLKGETSIZE64 BLKPG";
    if request >> 8 == 0xC138FD {
        push(line, word(DM_NAMES, (request & 0xFF) as usize));
        push(line, b", {");
        push_quoted(line, until_nul(memory.bytes(argument + dm::NAME, 128)));
        if request == dm::Command::TableLoad as u32 {
            let target = memory.bytes(argument + dm::HEADER, dm::TARGET);
            push(line, b", ");
            push(line, until_nul(target.get(24..).unwrap_or_default()));
            push(line, b" ");
            let table = memory.text(argument + dm::HEADER + dm::TARGET);
            push_quoted(line, table);
        }
        return push(line, b"}");
    }
    let place = REQUESTS.iter().position(|known| *known == request);
    match place {
        Some(place) => push(line, word(NAMES, place)),
        None => push_address(line, request as usize),
    }
    push(line, b", ");
    let number = |offset: usize, len: usize| {
        let bytes = memory.bytes(argument + offset, len).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    match place {
        // The image, and the flags.
        Some(1) => {
            push(line, b"{");
            push_number(line, number(0, 4));
            push(line, b", ");
            push_address(line, number(8 + 52, 4) as usize);
            push(line, b"}");
        }
        Some(2) => push_number(line, number(0, 4)),
        Some(3) => push_number(line, number(0, 8)),
        _ => push_address(line, argument),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of memory, by address.
    struct Pieces(Vec<(usize, Vec<u8>)>);

    impl Memory for Pieces {
        fn bytes(&self, address: usize, len: usize) -> &[u8] {
            self.0
                .iter()
                .find_map(|(from, bytes)| bytes.get(address.checked_sub(*from)?..)?.get(..len))
                .unwrap_or_else(|| panic!("{len} bytes at {address:#x}"))
        }

        fn text(&self, address: usize) -> &[u8] {
            let piece = self
                .0
                .iter()
                .find_map(|(from, bytes)| bytes.get(address.checked_sub(*from)?..));
            until_nul(piece.unwrap_or_else(|| panic!("text at {address:#x}")))
        }
    }

    fn shown(
        number: u32,
        arguments: &[usize],
        answer: Option<isize>,
        pieces: &[(usize, &[u8])],
    ) -> String {
        let mut call = [0; 7];
        call[0] = number as usize;
        call[1..=arguments.len()].copy_from_slice(arguments);
        let memory = Pieces(
            pieces
                .iter()
                .map(|(at, bytes)| (*at, bytes.to_vec()))
                .collect(),
        );
        let mut line = Line::new();
        describe(
            &mut line,
            &call,
            answer.map(|answer| answer as usize),
            &memory,
        );
        String::from_utf8(line.to_vec()).unwrap()
    }

    #[test]
    fn every_call_has_a_name() {
        assert_eq!(CALLS.split(|byte| *byte == b' ').count(), NUMBERS.len());
        let mut numbers = NUMBERS.to_vec();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), NUMBERS.len());
    }

    #[test]
    fn calls() {
        let path: (usize, &[u8]) = (0x1000, b"/dev/\"a\"\\\n\0");
        for (number, arguments, answer, pieces, want) in [
            (__NR_getpid, &[][..], Some(1), &[][..], "getpid() = 1"),
            (
                __NR_openat,
                &[-100isize as usize, 0x1000, 0o2000101, 0o644],
                Some(-2),
                &[path],
                r#"openat(AT_FDCWD, "/dev/\"a\"\\\x0a", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = ENOENT"#,
            ),
            (__NR_close, &[usize::MAX], Some(-9), &[], "close(-1) = 9"),
            (
                __NR_read,
                &[3, 0x1000, 4096],
                Some(3),
                &[path],
                r#"read(3, "/de", 4096) = 3"#,
            ),
            (
                __NR_read,
                &[3, 0x1000, 4096],
                Some(-11),
                &[path],
                "read(3, 0x1000, 4096) = EAGAIN",
            ),
            (
                __NR_write,
                &[2, 0x1000, 2],
                Some(2),
                &[path],
                r#"write(2, "/d", 2) = 2"#,
            ),
            (
                __NR_mount,
                &[0x1000, 0x1000, 0, 0x8000_0001, 0],
                Some(0),
                &[(0x1000, b"a\0")],
                r#"mount("a", "a", NULL, MS_RDONLY|0x80000000, NULL) = 0"#,
            ),
            (
                __NR_umount2,
                &[0x1000, 2],
                Some(0),
                &[(0x1000, b"a\0")],
                r#"umount2("a", MNT_DETACH) = 0"#,
            ),
            (__NR_exit_group, &[3], None, &[], "exit_group(3) = ?"),
            (
                __NR_mmap,
                &[0, 4096, 1, 2, 3, 0],
                Some(0x7f00_0000_1000),
                &[],
                "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000001000",
            ),
            (
                9999,
                &[1, 2],
                Some(-38),
                &[],
                "syscall(0x01, 0x02, NULL, NULL, NULL, NULL) = ENOSYS",
            ),
        ] {
            assert_eq!(shown(number, arguments, answer, pieces), want);
        }
    }

    #[test]
    fn requests() {
        let mut table = Line::new();
        dm::start(&mut table, b"usr", dm::READ_ONLY);
        dm::add_target(&mut table, 8);
        push(&mut table, b"1 254:2 254:2");
        dm::finish(&mut table);
        let command = dm::Command::TableLoad as usize;
        assert_eq!(
            shown(
                __NR_ioctl,
                &[4, command, 0x1000],
                Some(0),
                &[(0x1000, &table)]
            ),
            r#"ioctl(4, DM_TABLE_LOAD, {"usr", verity "1 254:2 254:2"}) = 0"#
        );
        let command = dm::Command::Create as usize;
        assert_eq!(
            shown(
                __NR_ioctl,
                &[4, command, 0x1000],
                Some(-16),
                &[(0x1000, &table)]
            ),
            r#"ioctl(4, DM_DEV_CREATE, {"usr"}) = EBUSY"#
        );
        let size = [0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(
            shown(
                __NR_ioctl,
                &[4, BLKGETSIZE64 as usize, 0x1000],
                Some(0),
                &[(0x1000, &size)]
            ),
            "ioctl(4, BLKGETSIZE64, 16777216) = 0"
        );
        assert_eq!(
            shown(__NR_ioctl, &[4, LOOP_CTL_GET_FREE as usize], Some(2), &[]),
            "ioctl(4, LOOP_CTL_GET_FREE, NULL) = 2"
        );
        assert_eq!(
            shown(__NR_ioctl, &[4, 0xABCD, 7], Some(-25), &[]),
            "ioctl(4, 0xabcd, 0x07) = 25"
        );
    }

    #[test]
    fn long_texts_are_cut() {
        let long = [b'x'; 300];
        let line = shown(__NR_write, &[1, 0x1000, 300], Some(300), &[(0x1000, &long)]);
        assert_eq!(
            line,
            format!("write(1, \"{}\"..., 300) = 300", "x".repeat(100))
        );
    }
}
