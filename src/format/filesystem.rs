//! Filesystems by their superblocks: which one it is, and where it ends.
//!
//! Sources: the kernel's fs/ext4/ext4.h, include/uapi/linux/btrfs_tree.h, fs/squashfs/squashfs_fs.h, fs/erofs/erofs_fs.h.

use super::{ReadAt, u32_at, u64_at};
use crate::text::word;

/// What can be mounted without being told its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Filesystem {
    Btrfs,
    Ext4,
    Squashfs,
    Erofs,
}

impl Filesystem {
    /// As mount(2) takes it.
    pub fn name(self) -> &'static [u8] {
        word(b"btrfs ext4 squashfs erofs", self as usize)
    }
}

/// A filesystem and its size in bytes, rounded up to 4096 as the tools pad it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    pub filesystem: Filesystem,
    pub size: u64,
}

const INCOMPAT_64BIT: u32 = 0x80;

/// Looks for each superblock in its place.
pub fn detect<R: ReadAt + ?Sized>(device: &R) -> Option<Found> {
    let mut block = [0; 512];
    let found = |filesystem, size: u64| {
        Some(Found {
            filesystem,
            size: size.checked_next_multiple_of(4096)?,
        })
    };

    device.read_at(0, &mut block)?;
    if block.starts_with(b"hsqs") {
        return found(Filesystem::Squashfs, u64_at(&block, 40)?);
    }
    if device.read_at(1024, &mut block).is_some() {
        if u32_at(&block, 0) == Some(0xE0F5_E1E2) {
            let [shift, ..] = *block.get(12..)?.first_chunk::<1>()?;
            let blocks = u64::from(u32_at(&block, 36)?);
            return found(
                Filesystem::Erofs,
                blocks.checked_mul(1u64.checked_shl(shift.into())?)?,
            );
        }
        if u32_at(&block, 56).map(|magic| magic as u16) == Some(0xEF53) {
            let mut blocks = u64::from(u32_at(&block, 4)?);
            if u32_at(&block, 96)? & INCOMPAT_64BIT != 0 {
                blocks |= u64::from(u32_at(&block, 336)?) << 32;
            }
            return found(
                Filesystem::Ext4,
                blocks.checked_mul(1024u64.checked_shl(u32_at(&block, 24)?)?)?,
            );
        }
    }
    device.read_at(65536, &mut block)?;
    if block.get(64..)?.starts_with(b"_BHRfS_M") {
        return found(Filesystem::Btrfs, u64_at(&block, 112)?);
    }
    None
}
