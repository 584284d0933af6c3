//! dm-verity: the superblock on disk, and the table line for the kernel.
//!
//! Sources: cryptsetup's verity on-disk format; the kernel's Documentation/admin-guide/device-mapper/verity.rst.

use super::{u32_at, u64_at};
use crate::text::{Line, hex_digit, push, push_hex, push_number};

/// Bytes of a superblock.
pub const SUPERBLOCK: usize = 512;
/// Bytes of the longest salt.
const SALT: usize = 256;

/// A superblock that makes sense. None of it is authenticated: a wrong value makes verification fail, except
/// the number of data blocks, which only says how much of the device is shown.
#[derive(Clone, Copy)]
pub struct Superblock<'a>(&'a [u8; SUPERBLOCK]);

impl<'a> Superblock<'a> {
    /// Reads a superblock; `None` if it is not one, or one that the kernel could not use.
    pub fn parse(bytes: &'a [u8; SUPERBLOCK]) -> Option<Self> {
        let superblock = Self(bytes);
        let block_size = |size: u32| (512..=65536).contains(&size) && size.is_power_of_two();
        // The name goes into a line whose words are parted by blanks.
        let name = superblock.algorithm();
        let good = bytes.starts_with(b"verity\0\0\x01\0\0\0")
            && superblock.hash_type() <= 1
            && !name.is_empty()
            && name.iter().all(u8::is_ascii_graphic)
            && block_size(superblock.data_block_size())
            && block_size(superblock.hash_block_size())
            && superblock.data_blocks() != 0
            && superblock
                .data_blocks()
                .checked_mul(superblock.data_block_size().into())
                .is_some()
            && superblock.salt_size() <= SALT;
        good.then_some(superblock)
    }

    /// Salt after (0, Chrome OS) or before (1) the data.
    pub fn hash_type(&self) -> u32 {
        u32_at(self.0, 12)
    }

    /// 16 bytes, in textual order.
    pub fn uuid(&self) -> &'a [u8] {
        self.0.get(16..32).unwrap_or_default()
    }

    /// Name as the kernel's crypto API takes it.
    pub fn algorithm(&self) -> &'a [u8] {
        let field = self.0.get(32..64).unwrap_or_default();
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Bytes.
    pub fn data_block_size(&self) -> u32 {
        u32_at(self.0, 64)
    }

    /// Bytes.
    pub fn hash_block_size(&self) -> u32 {
        u32_at(self.0, 68)
    }

    pub fn data_blocks(&self) -> u64 {
        u64_at(self.0, 72)
    }

    fn salt_size(&self) -> usize {
        usize::from(u32_at(self.0, 80) as u16)
    }

    /// 256 bytes at most.
    pub fn salt(&self) -> &'a [u8] {
        self.0
            .get(88..88 + SALT)
            .unwrap_or_default()
            .get(..self.salt_size())
            .unwrap_or_default()
    }

    /// Length of the verified device in 512-byte sectors.
    pub fn sectors(&self) -> u64 {
        self.data_blocks()
            .wrapping_mul((self.data_block_size() / 512).into())
    }

    /// Appends the device-mapper UUID that veritysetup would give: `CRYPT-VERITY-<uuid>-<name>`.
    pub fn push_uuid(&self, text: &mut Line, name: &[u8]) {
        push(text, b"CRYPT-VERITY-");
        push_hex(text, self.uuid());
        push(text, b"-");
        push(text, name);
    }

    /// Appends the target's parameters. `device` is `MAJOR:MINOR` of both the data and the tree, `hash_offset` where the
    /// superblock lies (bytes), `root_hash` hexadecimal, `policy` one option of the kernel's or nothing.
    pub fn push_table(
        &self,
        text: &mut Line,
        device: &[u8],
        hash_offset: u64,
        root_hash: &[u8],
        policy: &[u8],
    ) {
        let hash_block_size = u64::from(self.hash_block_size());
        push_number(text, self.hash_type().into());
        push_word(text, device);
        push_word(text, device);
        // The tree begins in the first whole block behind the superblock.
        let hash_start = hash_offset
            .saturating_add(SUPERBLOCK as u64)
            .div_ceil(hash_block_size.max(1));
        for number in [
            self.data_block_size().into(),
            hash_block_size,
            self.data_blocks(),
            hash_start,
        ] {
            push_word(text, b"");
            push_number(text, number);
        }
        push_word(text, self.algorithm());
        push_word(text, root_hash);
        let salt = self.salt();
        push_word(text, if salt.is_empty() { b"-" } else { b"" });
        push_hex(text, salt);
        if !policy.is_empty() {
            push_word(text, b"1");
            push_word(text, policy);
        }
    }
}

/// Appends a blank and a word.
#[inline(never)]
fn push_word(text: &mut Line, word: &[u8]) {
    push(text, b" ");
    push(text, word);
}

/// Whether this is a root hash: whole bytes in hexadecimal, no more than the longest digest (512 bits).
pub fn is_root_hash(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len().is_multiple_of(2)
        && text.len() <= 128
        && text.iter().all(|byte| hex_digit(*byte).is_some())
}
