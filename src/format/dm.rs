//! Device-mapper requests, byte for byte as the ioctls take them.
//!
//! Source: the kernel's include/uapi/linux/dm-ioctl.h, interface version 4.

use crate::text::{Line, push};
use static_assertions::const_assert;

/// Bytes of `struct dm_ioctl`; what belongs to a request follows it.
pub const HEADER: usize = 312;
/// Bytes of `struct dm_target_spec`.
pub const TARGET: usize = 40;
/// Where the device's name is.
pub const NAME: usize = 48;
const UUID: usize = 176;

// Room for the longest table: 128 digits of root hash, 512 of salt, and a line of numbers.
const_assert!(HEADER + TARGET + 128 + 512 + 256 < 3072);
const_assert!(size_of::<Line>() >= 3072);

/// The ioctl numbers: `_IOWR(0xFD, n, struct dm_ioctl)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Command {
    Create = 0xC138_FD03,
    Remove = 0xC138_FD04,
    /// Resume, unless a flag asks for the opposite.
    Suspend = 0xC138_FD06,
    TableLoad = 0xC138_FD09,
    TableStatus = 0xC138_FD0C,
    ListVersions = 0xC138_FD0D,
}

/// Flag of [`start`]: the request has a table, and the device is to be read only.
pub const READ_ONLY: u32 = 1;

/// How every request begins: interface version 4.0.0, 3072 bytes in all, payload from byte 312 on.
const HEAD: &[u8] = b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\x0C\0\0\x38\x01\0\0";

/// Starts a request about the device named `name`. What is pushed next is its UUID; [`end_header`]
/// follows that.
pub fn start(request: &mut Line, name: &[u8], flags: u32) {
    request.clear();
    push(request, HEAD);
    // Three fields of 32 bits: the number of targets (one where there is a table), the open count,
    // the flags.
    let flags = flags as u8;
    push(
        request,
        &[flags & READ_ONLY as u8, 0, 0, 0, 0, 0, 0, 0, flags],
    );
    pad(request, NAME);
    push(request, name);
    pad(request, UUID);
}

/// Fills the header up.
pub fn end_header(request: &mut Line) {
    pad(request, HEADER);
}

/// Adds the head of the one target of a table: `verity`, `sectors` of 512 bytes long. Its
/// parameters are to follow.
pub fn add_target(request: &mut Line, sectors: u64) {
    // The target starts at sector 0.
    pad(request, HEADER + 8);
    push(request, &sectors.to_le_bytes());
    // Status, and the offset of a next target: zero.
    pad(request, HEADER + 24);
    push(request, b"verity");
    pad(request, HEADER + TARGET);
}

/// Fills the buffer to its capacity, as long as the header says that the request is: the kernel
/// answers in it. `None`: it was full before, something is missing.
pub fn finish(request: &mut Line) -> Option<()> {
    let complete = !request.is_full();
    pad(request, request.capacity());
    complete.then_some(())
}

fn pad(request: &mut Line, len: usize) {
    // Cannot fail: no request is longer than the capacity, see the assertion above.
    let _ = request.resize(len, 0);
}

/// The device's number in the kernel's answer (a dev_t).
#[inline(always)] // size: inline
pub fn device_number(answer: &[u8]) -> u64 {
    let field = answer.get(40..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |number| u64::from_le_bytes(*number))
}

/// Whether the status of the first target begins with `V`: nothing has failed verification so far.
pub fn is_valid(answer: &[u8]) -> bool {
    answer.get(HEADER + TARGET) == Some(&b'V')
}

/// The version of the verity target among those that the kernel listed: the major in the upper
/// half, the minor in the lower one; 0 if it is not there.
pub fn verity_version(answer: &[u8]) -> u64 {
    // In `struct dm_target_versions` the name follows the three numbers of the version, of which
    // the last is small.
    let name = answer.windows(8).position(|bytes| bytes == b"\0verity\0");
    let version = name.and_then(|at| answer.get(at.checked_sub(11)?..)?.first_chunk());
    version.map_or(0, |version| u64::from_le_bytes(*version).rotate_left(32))
}
