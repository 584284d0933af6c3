//! Lines as they are, for each kind of argument.

use super::*;
use crate::format::dm::{self, Command};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{BLKGETSIZE64, BLKPG, BLKSSZGET, TCGETS};
use linux_raw_sys::loop_device::{LOOP_CONFIGURE, LOOP_CTL_GET_FREE};

/// Where the memory of these calls lies.
const HERE: usize = 0x1000;

fn shown(number: u32, arguments: &[usize], answer: Option<isize>, memory: &[u8]) -> String {
    let mut call = [0; 7];
    call[0] = number as usize;
    call[1..=arguments.len()].copy_from_slice(arguments);
    let mut line = Line::new();
    let answer = answer.map(|answer| answer as usize);
    describe(&mut line, &call, answer, |address| memory[address - HERE]);
    String::from_utf8(line.to_vec()).unwrap()
}

const PATH: &[u8] = b"/dev/\"a\"\\\n\0";
const CWD: usize = AT_FDCWD as usize;

/// Number and arguments of a call, its result, what lies in memory, and the line.
type Example = (
    u32,
    &'static [usize],
    Option<isize>,
    &'static [u8],
    &'static str,
);

const EXAMPLES: &[Example] = &[
    (__NR_getpid, &[], Some(1), b"", "getpid() = 1"),
    (
        __NR_openat,
        &[CWD, HERE, 0o2000101, 0o644],
        Some(-2),
        PATH,
        r#"openat(AT_FDCWD, "/dev/\x22a\x22\x5c\x0a", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = ENOENT"#,
    ),
    (
        __NR_openat,
        &[3, HERE, 0, 0o644],
        Some(4),
        b"a\0",
        r#"openat(3, "a", O_RDONLY, 420) = 4"#,
    ),
    (
        __NR_close,
        &[usize::MAX],
        Some(-9),
        b"",
        "close(-1) = EBADF",
    ),
    (
        __NR_read,
        &[3, HERE, 4096],
        Some(3),
        PATH,
        r#"read(3, "/de", 4096) = 3"#,
    ),
    (
        __NR_read,
        &[3, HERE, 4096],
        Some(-11),
        PATH,
        "read(3, ..., 4096) = EAGAIN",
    ),
    (
        __NR_write,
        &[2, HERE, 2],
        Some(2),
        PATH,
        r#"write(2, "/d", 2) = 2"#,
    ),
    (
        __NR_mount,
        &[HERE, HERE, 0, 0x8000_0001, 0],
        Some(0),
        b"a\0",
        r#"mount("a", "a", NULL, MS_RDONLY|2147483648, NULL) = 0"#,
    ),
    (
        __NR_umount2,
        &[HERE, 2],
        Some(0),
        b"a\0",
        r#"umount2("a", MNT_DETACH) = 0"#,
    ),
    (
        __NR_unlinkat,
        &[CWD, HERE, 0],
        Some(0),
        b"a\0",
        r#"unlinkat(AT_FDCWD, "a", 0) = 0"#,
    ),
    (__NR_exit_group, &[3], None, b"", "exit_group(3) = ?"),
    (
        __NR_mmap,
        &[0, 4096, 1, 2, 3, 0],
        Some(0x7f00_0000_1000),
        b"",
        "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 139637976731648",
    ),
    (
        __NR_wait4,
        &[usize::MAX, HERE, 1, 0],
        Some(77),
        b"\0\x05\0\0",
        "wait4(-1, 1280, WNOHANG, NULL) = 77",
    ),
    (
        __NR_ppoll,
        &[HERE, 10, HERE + 8, 0, 0],
        Some(0),
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
        ],
        "ppoll(..., 10, {5, 256}, NULL, 0) = 0",
    ),
    (
        __NR_socket,
        &[16, 0o2004002, 15],
        Some(5),
        b"",
        "socket(16, SOCK_DGRAM|O_NONBLOCK|O_CLOEXEC, 15) = 5",
    ),
    (
        __NR_finit_module,
        &[7, HERE, 4],
        Some(-17),
        b"a=b\0",
        r#"finit_module(7, "a=b", MODULE_INIT_COMPRESSED_FILE) = EEXIST"#,
    ),
    (__NR_flock, &[7, 2], Some(0), b"", "flock(7, LOCK_EX) = 0"),
    // An error without a name is told from success by its sign.
    (__NR_setsid, &[], Some(-133), b"", "setsid() = -133"),
    (
        10_000,
        &[1, 2],
        Some(-38),
        b"",
        "syscall(10000, 1, 2, 0, 0, 0, 0) = ENOSYS",
    ),
];

#[test]
fn calls() {
    for (number, arguments, answer, memory, want) in EXAMPLES {
        assert_eq!(shown(*number, arguments, *answer, memory), *want);
    }
}

/// A request that loads a table.
fn table() -> Line {
    let mut table = Line::new();
    dm::start(&mut table, b"usr", dm::READ_ONLY);
    dm::add_target(&mut table, 8);
    push(&mut table, b"1 254:2 254:2");
    dm::finish(&mut table);
    table
}

#[test]
fn requests() {
    let table = table();
    // fd, block size, and loop_info64 from its eighth byte on, whose flags are read only and
    // autoclear.
    let mut image = [0; 304];
    (image[0], image[8 + 52]) = (7, 5);
    // Operation, flags, length and address, where the start, the length and the number follow.
    let mut partition = [0; 176];
    (partition[0], partition[16]) = (1, 24);
    partition[17] = (HERE >> 8) as u8;
    (partition[24 + 2], partition[24 + 8 + 2], partition[24 + 16]) = (16, 32, 130);
    for (request, argument, answer, memory, want) in [
        (
            Command::TableLoad as u32,
            HERE,
            0,
            &table[..],
            r#"DM_TABLE_LOAD, {"usr", "verity", "1 254:2 254:2"}) = 0"#,
        ),
        (
            Command::Create as u32,
            HERE,
            -16,
            &table,
            r#"DM_DEV_CREATE, {"usr"}) = EBUSY"#,
        ),
        (
            BLKGETSIZE64,
            HERE,
            0,
            &[0, 0, 0, 1, 0, 0, 0, 0],
            "BLKGETSIZE64, 16777216) = 0",
        ),
        (BLKSSZGET, HERE, 0, &[0, 2, 0, 0], "BLKSSZGET, 512) = 0"),
        (LOOP_CTL_GET_FREE, 0, 2, b"", "LOOP_CTL_GET_FREE) = 2"),
        (
            LOOP_CONFIGURE,
            HERE,
            0,
            &image,
            "LOOP_CONFIGURE, {7, LO_FLAGS_READ_ONLY|LO_FLAGS_AUTOCLEAR}) = 0",
        ),
        (
            BLKPG,
            HERE,
            0,
            &partition,
            "BLKPG, {1, {1048576, 2097152, 130}}) = 0",
        ),
        (TCGETS, HERE, -25, b"", "TCGETS, ...) = ENOTTY"),
        (0xABCE, 7, -22, b"", "43982, 7) = EINVAL"),
    ] {
        let arguments = [4, request as usize, argument];
        let line = shown(__NR_ioctl, &arguments, Some(answer), memory);
        assert_eq!(line, format!("ioctl(4, {want}"));
    }
}

#[test]
fn long_texts_are_cut() {
    let mut long = [b'x'; 700];
    let line = shown(__NR_write, &[1, HERE, 300], Some(300), &long);
    let want = format!("write(1, \"{}\"..., 300) = 300", "x".repeat(DATA));
    assert_eq!(line, want);
    long[699] = 0;
    let line = shown(__NR_chdir, &[HERE], Some(0), &long);
    let want = format!("chdir(\"{}\"...) = 0", "x".repeat(TEXT));
    assert_eq!(line, want);
}

/// Whatever the init calls has its name here: `__NR_name` in the source stands for every call that
/// it makes.
#[test]
fn every_call_of_the_init_is_known() {
    let known = |name: &str| {
        let mut calls = CALLS.split(|byte| *byte == b' ');
        calls.any(|call| {
            let rest = call.strip_prefix(name.as_bytes());
            rest.is_some_and(|marks| marks.first().is_some_and(u8::is_ascii_punctuation))
        })
    };
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sys")).unwrap() {
        let code = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for name in code.split("__NR_").skip(1) {
            let end = name.find(|next: char| !next.is_ascii_alphanumeric() && next != '_');
            let name = &name[..end.unwrap()];
            assert!(known(name), "{name}");
            count += 1;
        }
    }
    assert!(count > 40, "{count} calls only");
}
