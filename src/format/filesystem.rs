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
    let mut read = |offset| device.read_at(offset, &mut block).map(|()| block);

    let (filesystem, blocks, shift) = if let Some(block) =
        read(0).filter(|block| block.starts_with(b"hsqs"))
    {
        (Filesystem::Squashfs, u64_at(&block, 40), 0)
    } else if let Some(block) = read(1024).filter(|block| u32_at(block, 0) == 0xE0F5_E1E2) {
        (
            Filesystem::Erofs,
            u32_at(&block, 36).into(),
            u32_at(&block, 12) & 0xFF,
        )
    } else if let Some(block) = read(1024).filter(|block| u32_at(block, 56) & 0xFFFF == 0xEF53) {
        let high = if u32_at(&block, 96) & INCOMPAT_64BIT != 0 {
            u32_at(&block, 336)
        } else {
            0
        };
        let blocks = u64::from(high) << 32 | u64::from(u32_at(&block, 4));
        (
            Filesystem::Ext4,
            blocks,
            u32_at(&block, 24).saturating_add(10),
        )
    } else {
        let block = read(65536).filter(|block| {
            block
                .get(64..)
                .is_some_and(|magic| magic.starts_with(b"_BHRfS_M"))
        })?;
        (Filesystem::Btrfs, u64_at(&block, 112), 0)
    };
    let size = blocks
        .checked_mul(1u64.checked_shl(shift)?)?
        .checked_next_multiple_of(4096)?;
    Some(Found { filesystem, size })
}
