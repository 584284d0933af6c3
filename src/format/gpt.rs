//! GUID partition tables: one partition looked up, every checksum checked, the backup used when the primary is bad.
//!
//! Source: UEFI Specification, "GUID Partition Table (GPT) Disk Layout".

use super::crc32::{Crc32, crc32};
use super::{ReadAt, u32_at, u64_at};
use crate::text::Line;

/// In an entry: the partition's own GUID.
pub const GUID: usize = 16;
/// In an entry: the name, UTF-16.
pub const NAME: usize = 56;
/// Bytes of a name.
pub const NAME_LEN: usize = 72;

/// Largest logical sector, and the piece in which entries are read.
const CHUNK: usize = 4096;
/// More partition entries than this (in bytes) are no partition table.
const MAX_TABLE: u32 = 4 << 20;
/// Entries are 128 bytes times a power of two.
const ENTRY: u32 = 128;

/// A partition's place on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Partition {
    /// Counted from 1, as the kernel numbers it; 0: there is none.
    pub number: u32,
    /// More than one partition answers; this is the last of them.
    pub ambiguous: bool,
    /// The primary table was bad: the kernel does not show these partitions by itself.
    pub from_backup: bool,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}

/// What the entry of a partition has, and at which offset.
pub struct Field {
    pub offset: usize,
    pub bytes: Line,
}

/// Looks through a disk's table for the partition whose entry has the `wanted` field. `None`: there is no valid table.
///
/// `sector` is the logical sector size in bytes (512 to 4096), `size` the disk's in bytes.
pub fn find<R: ReadAt + ?Sized>(
    disk: &R,
    sector: u64,
    size: u64,
    wanted: &Field,
) -> Option<Partition> {
    let sectors = size.checked_div(sector)?;
    let mut found = Partition::default();
    [1, sectors.wrapping_sub(1)]
        .iter()
        .find_map(|lba| read_table(disk, sector, sectors, *lba, wanted, &mut found))
        .map(|()| found)
}

/// `None`: there is no valid table whose header is at sector `lba` of `sectors`.
#[inline(never)] // Inlined into its one caller it costs 160 bytes more.
fn read_table<R: ReadAt + ?Sized>(
    disk: &R,
    sector: u64,
    sectors: u64,
    lba: u64,
    wanted: &Field,
    found: &mut Partition,
) -> Option<()> {
    let mut chunk = [0; CHUNK];
    let header = chunk.get_mut(..sector as usize)?;
    disk.read_at(lba.checked_mul(sector)?, header)?;
    let crc = u32_at::<92>(header.first_chunk()?, 16);
    header.get_mut(16..20)?.fill(0);
    let fields: &[u8; 92] = header.first_chunk()?;
    let header_size = u32_at(fields, 12) as usize;
    if !fields.starts_with(b"EFI PART")
        || u64_at(fields, 24) != lba
        || header_size < fields.len()
        || crc32(header.get(..header_size)?) != crc
    {
        return None;
    }
    let entry_size = u32_at(fields, 84);
    let length = u32_at(fields, 80).checked_mul(entry_size)?;
    let table = u64_at(fields, 72);
    let table_crc = u32_at(fields, 88);
    if !entry_size.is_power_of_two() || entry_size < ENTRY || length > MAX_TABLE || table > sectors
    {
        return None;
    }

    let mut crc = Crc32::new();
    *found = Partition {
        from_backup: lba != 1,
        ..Partition::default()
    };
    let mut done = 0;
    while done < length {
        let piece = chunk.get_mut(..CHUNK.min((length - done) as usize))?;
        disk.read_at(table.wrapping_mul(sector).wrapping_add(done.into()), piece)?;
        crc.update(piece);
        for entry in piece.as_chunks::<{ ENTRY as usize }>().0 {
            // The length is a multiple of the entry size, itself one of 128: entries begin where the offset says so.
            let here = done;
            done += ENTRY;
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let used = u64_at(entry, 0) | u64_at(entry, 8) != 0 && first <= last && last < sectors;
            if used
                && here & (entry_size - 1) == 0
                && entry.get(wanted.offset..)?.starts_with(&wanted.bytes)
            {
                found.ambiguous = found.number != 0;
                found.number = (here >> entry_size.trailing_zeros()) + 1;
                // Both are inside the disk, whose size in bytes is a u64.
                found.start = first.wrapping_mul(sector);
                found.length = (last - first + 1).wrapping_mul(sector);
            }
        }
    }
    (crc.value() == table_crc).then_some(())
}
