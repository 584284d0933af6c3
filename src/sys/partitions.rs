//! Partitions that the kernel did not find by itself.

use super::call::Result;
use super::files::File;
use core::mem::{MaybeUninit, size_of};
use linux_raw_sys::ioctl::BLKPG;
use static_assertions::const_assert_eq;

/// `struct blkpg_partition` and `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct Entry {
    start: i64,
    length: i64,
    number: i32,
    /// Device and volume name: ignored.
    names: MaybeUninit<[u8; 128]>,
}

#[repr(C)]
struct Argument {
    operation: i32,
    flags: i32,
    len: i32,
    entry: *const Entry,
}

const ADD_PARTITION: i32 = 1;

const_assert_eq!(size_of::<Entry>(), 152);
const_assert_eq!(size_of::<Argument>(), 24);

/// Tells the kernel of a partition, `start` and `length` in bytes; its uevent follows.
pub fn add(disk: File, number: u32, start: u64, length: u64) -> Result {
    let entry = Entry {
        start: start as i64,
        length: length as i64,
        number: number as i32,
        names: MaybeUninit::uninit(),
    };
    let argument = Argument {
        operation: ADD_PARTITION,
        flags: 0,
        len: size_of::<Entry>() as i32,
        entry: &raw const entry,
    };
    // SAFETY: reads the argument and the entry that it points to.
    unsafe { disk.ioctl(BLKPG, &raw const argument as usize) }
}
