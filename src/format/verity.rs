//! dm-verity: the superblock on disk, and the table line for the kernel.
//!
//! Sources: cryptsetup's verity on-disk format; the kernel's Documentation/admin-guide/device-mapper/verity.rst.

use super::{u32_at, u64_at};
use crate::text::{hex_digit, push, push_hex, push_number};
use heapless::VecView;

/// Bytes of a superblock.
pub const SUPERBLOCK: usize = 512;

/// A superblock that makes sense. None of it is authenticated: a wrong value makes verification fail, except
/// `data_blocks`, which only says how much of the device is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Superblock<'a> {
    /// Salt after (0, Chrome OS) or before (1) the data.
    pub hash_type: u32,
    pub uuid: &'a [u8],
    /// Name as the kernel's crypto API takes it.
    pub algorithm: &'a [u8],
    /// Bytes.
    pub data_block_size: u32,
    /// Bytes.
    pub hash_block_size: u32,
    pub data_blocks: u64,
    pub salt: &'a [u8],
}

impl<'a> Superblock<'a> {
    /// Reads a superblock; `None` if it is not one, or one that the kernel could not use.
    pub fn parse(bytes: &'a [u8; SUPERBLOCK]) -> Option<Self> {
        let algorithm = bytes.get(32..64)?.split(|byte| *byte == 0).next()?;
        let superblock = Self {
            hash_type: u32_at(bytes, 12),
            uuid: bytes.get(16..32)?,
            algorithm,
            data_block_size: u32_at(bytes, 64),
            hash_block_size: u32_at(bytes, 68),
            data_blocks: u64_at(bytes, 72),
            salt: bytes
                .get(88..344)?
                .get(..u32_at(bytes, 80) as u16 as usize)?,
        };
        let block_size = |size: u32| (512..=65536).contains(&size) && size.is_power_of_two();
        // The name goes into a line whose words are parted by blanks.
        let name = !algorithm.is_empty() && algorithm.iter().all(u8::is_ascii_graphic);
        let good = bytes.starts_with(b"verity\0\0\x01\0\0\0")
            && superblock.hash_type <= 1
            && name
            && block_size(superblock.data_block_size)
            && block_size(superblock.hash_block_size)
            && superblock.data_blocks != 0
            && superblock
                .data_blocks
                .checked_mul(superblock.data_block_size.into())
                .is_some();
        good.then_some(superblock)
    }

    /// Length of the verified device in 512-byte sectors.
    pub fn sectors(&self) -> u64 {
        self.data_blocks
            .wrapping_mul((self.data_block_size / 512).into())
    }

    /// Appends the device-mapper UUID that veritysetup would give: `CRYPT-VERITY-<uuid>-<name>`.
    pub fn push_uuid(&self, text: &mut VecView<u8>, name: &[u8]) {
        push(text, b"CRYPT-VERITY-");
        push_hex(text, self.uuid);
        push(text, b"-");
        push(text, name);
    }

    /// Appends the target's parameters. `device` is `MAJOR:MINOR` of both the data and the tree, `hash_offset` where the
    /// superblock lies (bytes), `root_hash` hexadecimal, `policy` one option of the kernel's or nothing.
    pub fn push_table(
        &self,
        text: &mut VecView<u8>,
        device: (u64, u64),
        hash_offset: u64,
        root_hash: &[u8],
        policy: &[u8],
    ) {
        let mut number = |value: u64, end: &[u8]| {
            push_number(text, value);
            push(text, end);
        };
        let hash_block_size = u64::from(self.hash_block_size);
        number(self.hash_type.into(), b" ");
        for _ in 0..2 {
            number(device.0, b":");
            number(device.1, b" ");
        }
        number(self.data_block_size.into(), b" ");
        number(hash_block_size, b" ");
        number(self.data_blocks, b" ");
        // The tree begins in the first whole block behind the superblock.
        number(
            hash_offset
                .saturating_add(SUPERBLOCK as u64)
                .div_ceil(hash_block_size.max(1)),
            b" ",
        );
        push(text, self.algorithm);
        push(text, b" ");
        push(text, root_hash);
        push(text, b" ");
        if self.salt.is_empty() {
            push(text, b"-");
        }
        push_hex(text, self.salt);
        if !policy.is_empty() {
            push(text, b" 1 ");
            push(text, policy);
        }
    }
}

/// Whether this is a root hash: whole bytes in hexadecimal, no more than the longest digest (512 bits).
pub fn is_root_hash(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() % 2 == 0
        && text.len() <= 128
        && text.iter().all(|byte| hex_digit(*byte).is_some())
}
