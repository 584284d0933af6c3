//! Block devices: how large they are, and reading from them past every cache.

use super::call::*;
use super::files::{File, open};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use linux_raw_sys::ioctl::{BLKGETSIZE64, BLKSSZGET};
use rustix::fs::OFlags;
use rustix::io::Errno;

impl File {
    /// A block device's logical sector size and its length, in bytes; zero where it has no medium.
    pub fn geometry(self) -> (u64, u64) {
        let (mut sector, mut size) = (0u32, 0u64);
        // SAFETY: BLKSSZGET writes an int.
        let _ = unsafe { self.ioctl(BLKSSZGET, &raw mut sector as usize) };
        // SAFETY: BLKGETSIZE64 writes a u64.
        let _ = unsafe { self.ioctl(BLKGETSIZE64, &raw mut size as usize) };
        (sector.into(), size)
    }
}

/// A buffer that O_DIRECT accepts, as large as any block of a verity device.
#[repr(align(4096))]
struct Direct(UnsafeCell<[u8; 65536]>);

// SAFETY: the program has one thread.
unsafe impl Sync for Direct {}

static DIRECT: Direct = Direct(UnsafeCell::new([0; 65536]));

/// Reads the first `len` bytes of a device, past every cache, and throws them away.
pub fn probe(node: &CStr, len: usize) -> Result {
    let file = open(node, OFlags::RDONLY | OFlags::DIRECT)?;
    // SAFETY: one thread, and the reference does not leave this function.
    let buffer = unsafe { &mut *DIRECT.0.get() };
    let result = file.read_exact_at(0, buffer.get_mut(..len).ok_or(Errno::INVAL)?);
    file.close();
    result
}
