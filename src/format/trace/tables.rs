//! What is traced, by name: calls with their arguments, requests of ioctl, flags.

use crate::format::dm::Command;
use crate::places;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{BLKGETSIZE64, BLKPG, BLKSSZGET, TCFLSH, TCGETS, TCSETS, TIOCSCTTY};
use linux_raw_sys::loop_device::*;

/// The place of a call in [`CALLS`]: no two of them have the same, whatever the architecture's
/// numbers are.
pub const fn call_place(number: usize) -> usize {
    (number * 9 / 4) % 202
}

/// The place of a request in [`REQUESTS`].
pub const fn request_place(number: usize) -> usize {
    number % 50
}

/// The calls that the init makes: the name, and a mark for each argument:
///
/// | mark | argument |
/// | --- | --- |
/// | `!` | a number, a file or a directory |
/// | `'` | the address of a text |
/// | `+`, `-` | the address of data of as many bytes as the next argument says, or the result |
/// | `$`, `(` | the address of a number of 32 or 64 bits |
/// | `&` | another address |
/// | `*` | the address of a structure, whose fields follow up to a `}`: see below |
/// | `,` | a request of ioctl: what follows is in [`REQUESTS`] |
/// | `)`, `:` to `@` | flags, whose names are in [`FLAGS`] |
/// | `.` | none |
///
/// A field of a structure is a mark and its place in units of four bytes, counted from `!` on. A
/// name may hold none of the marks.
pub const CALLS: &[u8] = places!(ALL_CALLS);
const ALL_CALLS: [(u32, &str); 42] = [
    call(__NR_read, "read!-!"),
    call(__NR_write, "write!+!"),
    call(__NR_close, "close!"),
    call(__NR_fstat, "fstat!&"),
    call(__NR_mmap, "mmap&!<=!!"),
    call(__NR_rt_sigprocmask, "rt_sigprocmask!(&!"),
    call(__NR_ioctl, "ioctl!,"),
    call(__NR_pread64, "pread64!&!!"),
    call(__NR_getpid, "getpid."),
    call(__NR_socket, "socket!)!"),
    call(__NR_recvfrom, "recvfrom!-!!&&"),
    call(__NR_bind, "bind!&!"),
    call(__NR_setsockopt, "setsockopt!!!$!"),
    call(__NR_clone, "clone!&"),
    call(__NR_execve, "execve'&&"),
    call(__NR_wait4, "wait4!$>&"),
    call(__NR_flock, "flock!@"),
    call(__NR_chdir, "chdir'"),
    call(__NR_statfs, "statfs'&"),
    call(__NR_pivot_root, "pivot_root''"),
    call(__NR_chroot, "chroot'"),
    call(__NR_mount, "mount''';'"),
    call(__NR_umount2, "umount2'?"),
    call(__NR_reboot, "reboot!!!"),
    call(__NR_init_module, "init_module&!'"),
    call(__NR_getdents64, "getdents64!&!"),
    call(__NR_clock_gettime, "clock_gettime!*(!(#}"),
    call(__NR_exit_group, "exit_group!"),
    call(__NR_add_key, "add_key''+!!"),
    call(__NR_openat, "openat!':!"),
    call(__NR_mkdirat, "mkdirat!'!"),
    call(__NR_unlinkat, "unlinkat!'@"),
    call(__NR_renameat2, "renameat2!'!'!"),
    call(__NR_symlinkat, "symlinkat'!'"),
    call(__NR_ppoll, "ppoll&!*(!(#}&!"),
    call(__NR_signalfd4, "signalfd4!(!)"),
    call(__NR_finit_module, "finit_module!'?"),
    call(__NR_setsid, "setsid."),
    call(__NR_sync, "sync."),
    call(__NR_dup3, "dup3!!!"),
    call(__NR_close_range, "close_range!!!"),
    call(__NR_syslog, "syslog!&!"),
];

/// The requests of ioctl, and their argument in the same way.
pub const REQUESTS: &[u8] = places!(ALL_REQUESTS);
const ALL_REQUESTS: [(u32, &str); 15] = [
    request(Command::Create as u32, "DM_DEV_CREATE*'-}"),
    request(Command::Remove as u32, "DM_DEV_REMOVE*'-}"),
    request(Command::Suspend as u32, "DM_DEV_SUSPEND*'-}"),
    request(Command::TableLoad as u32, "DM_TABLE_LOAD*'-'u'y}"),
    request(Command::TableStatus as u32, "DM_TABLE_STATUS*'-'u'y}"),
    request(Command::ListVersions as u32, "DM_LIST_VERSIONS&"),
    request(LOOP_CTL_GET_FREE, "LOOP_CTL_GET_FREE"),
    request(LOOP_CONFIGURE, "LOOP_CONFIGURE*$!@0}"),
    request(BLKSSZGET, "BLKSSZGET$"),
    request(BLKGETSIZE64, "BLKGETSIZE64("),
    request(BLKPG, "BLKPG*$!*%(!(#$%}}"),
    request(TIOCSCTTY, "TIOCSCTTY!"),
    request(TCFLSH, "TCFLSH!"),
    request(TCGETS, "TCGETS&"),
    request(TCSETS, "TCSETS&"),
];

/// The flags, by their mark and their bit. The access mode of open counts as one bit of three.
/// Arguments that have no bit in common share a mark.
pub const FLAGS: &[u8] = places!(ALL_FLAGS);
const ALL_FLAGS: [(u32, &str); 35] = [
    flag(OPEN, 1 << O_RDONLY, "O_RDONLY"),
    flag(OPEN, 1 << O_WRONLY, "O_WRONLY"),
    flag(OPEN, 1 << O_RDWR, "O_RDWR"),
    flag(OPEN, O_CREAT, "O_CREAT"),
    flag(OPEN, O_TRUNC, "O_TRUNC"),
    flag(OPEN, O_NONBLOCK, "O_NONBLOCK"),
    flag(OPEN, O_DIRECT, "O_DIRECT"),
    flag(OPEN, O_DIRECTORY, "O_DIRECTORY"),
    flag(OPEN, O_NOFOLLOW, "O_NOFOLLOW"),
    flag(OPEN, O_CLOEXEC, "O_CLOEXEC"),
    flag(OPEN, O_PATH, "O_PATH"),
    flag(b';', MS_RDONLY, "MS_RDONLY"),
    flag(b';', MS_NOSUID, "MS_NOSUID"),
    flag(b';', MS_NODEV, "MS_NODEV"),
    flag(b';', MS_NOEXEC, "MS_NOEXEC"),
    flag(b';', MS_SYNCHRONOUS, "MS_SYNCHRONOUS"),
    flag(b';', MS_DIRSYNC, "MS_DIRSYNC"),
    flag(b';', MS_NOATIME, "MS_NOATIME"),
    flag(b';', MS_NODIRATIME, "MS_NODIRATIME"),
    flag(b';', MS_BIND, "MS_BIND"),
    flag(b';', MS_MOVE, "MS_MOVE"),
    flag(b';', MS_RELATIME, "MS_RELATIME"),
    flag(b';', MS_STRICTATIME, "MS_STRICTATIME"),
    flag(b'@', LO_FLAGS_READ_ONLY as u32, "LO_FLAGS_READ_ONLY"),
    flag(b'@', LO_FLAGS_AUTOCLEAR as u32, "LO_FLAGS_AUTOCLEAR"),
    flag(b')', 2, "SOCK_DGRAM"),
    flag(b')', O_NONBLOCK, "O_NONBLOCK"),
    flag(b')', O_CLOEXEC, "O_CLOEXEC"),
    flag(b'<', PROT_READ, "PROT_READ"),
    flag(b'=', MAP_PRIVATE, "MAP_PRIVATE"),
    flag(b'>', WNOHANG, "WNOHANG"),
    flag(b'?', MNT_DETACH, "MNT_DETACH"),
    flag(b'?', 4, "MODULE_INIT_COMPRESSED_FILE"),
    flag(b'@', LOCK_EX, "LOCK_EX"),
    flag(b'@', AT_REMOVEDIR, "AT_REMOVEDIR"),
];
/// The mark of open's flags.
pub const OPEN: u8 = b':';

const fn call(number: u32, text: &str) -> (u32, &str) {
    (call_place(number as usize) as u32, text)
}

const fn request(number: u32, text: &str) -> (u32, &str) {
    (request_place(number as usize) as u32, text)
}

const fn flag(mark: u8, flag: u32, text: &str) -> (u32, &str) {
    (base(mark) as u32 + flag.trailing_zeros(), text)
}

/// What the bits of one mark's flags are counted from: there is room for 32.
pub const fn base(mark: u8) -> u8 {
    mark << 5
}
