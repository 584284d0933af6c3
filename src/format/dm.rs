//! Device-mapper requests, byte for byte as the ioctls take them.
//!
//! Source: the kernel's include/uapi/linux/dm-ioctl.h, interface version 4.

use super::{u32_at, u64_at};
use crate::text::{Text, push};
use static_assertions::const_assert;

/// Bytes of `struct dm_ioctl`; what belongs to a request follows it.
pub const HEADER: usize = 312;
/// Bytes of `struct dm_target_spec`.
pub const TARGET: usize = 40;
const NAME: usize = 48;
const UUID: usize = 176;

// Room for the longest table: 128 digits of root hash, 512 of salt, and a line of numbers.
const_assert!(HEADER + TARGET + 128 + 512 + 256 < 4096);

/// The ioctl numbers: `_IOWR(0xFD, n, struct dm_ioctl)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Command {
    Create = 0xC138_FD03,
    Remove = 0xC138_FD04,
    /// Resume, when [`SUSPEND`] is clear.
    Suspend = 0xC138_FD06,
    TableLoad = 0xC138_FD09,
    TableStatus = 0xC138_FD0C,
}

pub const READ_ONLY: u32 = 1;
pub const SUSPEND: u32 = 2;

/// Starts a request: the header, for the device named `name`.
pub fn request(buffer: &mut Text, name: &[u8], uuid: &[u8], flags: u32, targets: u32) {
    buffer.clear();
    let capacity = buffer.capacity() as u32;
    for field in [4, 0, 0, capacity, HEADER as u32, targets, 0, flags] {
        push(buffer, &field.to_le_bytes());
    }
    pad(buffer, NAME);
    push(buffer, name);
    pad(buffer, UUID);
    push(buffer, uuid);
    pad(buffer, HEADER);
}

/// Adds the head of the one target of a table, `verity`, `sectors` long; its parameters are to follow, then [`finish`].
pub fn target(buffer: &mut Text, sectors: u64) {
    push(buffer, &0u64.to_le_bytes());
    push(buffer, &sectors.to_le_bytes());
    // Status, and the offset of a next target.
    push(buffer, &0u64.to_le_bytes());
    push(buffer, b"verity");
    pad(buffer, HEADER + TARGET);
}

/// Fills the buffer to its capacity, which is what the header says the request is long: the kernel answers in the rest.
pub fn finish(buffer: &mut Text) {
    pad(buffer, buffer.capacity());
}

fn pad(buffer: &mut Text, len: usize) {
    // Never longer than the buffer's capacity, see the assertion above.
    let _ = buffer.resize(len, 0);
}

/// The device's number in the kernel's answer (a dev_t).
pub fn device_number(answer: &[u8]) -> u64 {
    u64_at(answer, 40).unwrap_or(0)
}

/// How many targets the live table has.
pub fn target_count(answer: &[u8]) -> u32 {
    u32_at(answer, 20).unwrap_or(0)
}

/// The first character of the first target's status.
pub fn status(answer: &[u8]) -> Option<u8> {
    let start = u32_at(answer, 16)? as usize;
    answer.get(start.checked_add(TARGET)?..)?.first().copied()
}
