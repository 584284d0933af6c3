//! GUID partition tables: one partition looked up, every checksum checked, the backup used when the primary is bad.
//!
//! Source: UEFI Specification, "GUID Partition Table (GPT) Disk Layout".

use super::crc32::{Crc32, crc32};
use super::{ReadAt, u32_at, u64_at};

/// Largest logical sector, and the piece in which entries are read.
const CHUNK: usize = 4096;
/// More partition entries than this (in bytes) are no partition table.
const MAX_TABLE: u32 = 4 << 20;
/// Entries are 128 bytes times a power of two.
const ENTRY: u32 = 128;

/// A partition's place on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Counted from 1, as the kernel numbers it.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// The primary table was bad: the kernel does not show these partitions by itself.
    pub from_backup: bool,
}

/// What a table says about the partition looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    Found(Partition),
    /// A good table without such a partition, or with none at all.
    Absent,
    /// More than one partition of the table answers.
    Ambiguous,
}

/// One used entry.
pub struct Entry<'a>(&'a [u8; 128]);

impl Entry<'_> {
    /// The partition's own GUID, in the disk's byte order.
    pub fn guid(&self) -> Option<&[u8; 16]> {
        self.0.get(16..)?.first_chunk()
    }

    /// Whether the partition's name is `label` (UTF-8), whole.
    pub fn is_named(&self, label: &[u8]) -> bool {
        let units = self.0.get(56..).unwrap_or_default().as_chunks().0;
        let units = units
            .iter()
            .map(|unit| u16::from_le_bytes(*unit))
            .take_while(|unit| *unit != 0);
        let rest = char::decode_utf16(units).try_fold(label, |rest, character| {
            let mut utf8 = [0; 4];
            rest.strip_prefix(character.ok()?.encode_utf8(&mut utf8).as_bytes())
        });
        rest == Some(b"")
    }
}

/// Looks through the disk's table for the partition that `wanted` accepts.
///
/// `sector` is the logical sector size in bytes (512 to 4096), `size` the disk's in bytes.
pub fn find<R: ReadAt + ?Sized>(
    disk: &R,
    sector: u64,
    size: u64,
    wanted: &dyn Fn(&Entry) -> bool,
) -> Lookup {
    let sectors = size.checked_div(sector).unwrap_or(0);
    read_table(disk, sector, sectors, 1, wanted)
        .or_else(
            || match read_table(disk, sector, sectors, sectors.wrapping_sub(1), wanted)? {
                Lookup::Found(partition) => Some(Lookup::Found(Partition {
                    from_backup: true,
                    ..partition
                })),
                other => Some(other),
            },
        )
        .unwrap_or(Lookup::Absent)
}

/// `None`: there is no valid table whose header is at sector `lba` of `sectors`.
fn read_table<R: ReadAt + ?Sized>(
    disk: &R,
    sector: u64,
    sectors: u64,
    lba: u64,
    wanted: &dyn Fn(&Entry) -> bool,
) -> Option<Lookup> {
    let mut chunk = [0; CHUNK];
    let header = chunk.get_mut(..sector as usize)?;
    disk.read_at(lba.checked_mul(sector)?, header)?;
    let fields: [u8; 92] = *header.first_chunk()?;
    header.get_mut(16..20)?.fill(0);
    let header_size = u32_at(&fields, 12) as usize;
    if !fields.starts_with(b"EFI PART")
        || u64_at(&fields, 24) != lba
        || header_size < fields.len()
        || crc32(header.get(..header_size)?) != u32_at(&fields, 16)
    {
        return None;
    }
    let entry_size = u32_at(&fields, 84);
    let length = u32_at(&fields, 80).checked_mul(entry_size)?;
    let table = u64_at(&fields, 72);
    if !entry_size.is_power_of_two() || entry_size < ENTRY || length > MAX_TABLE || table > sectors
    {
        return None;
    }

    let mut crc = Crc32::new();
    let mut result = Lookup::Absent;
    let mut offset = 0;
    while offset < length {
        let piece = chunk.get_mut(..CHUNK.min((length - offset) as usize))?;
        disk.read_at(
            table.wrapping_mul(sector).wrapping_add(offset.into()),
            piece,
        )?;
        crc.update(piece);
        for entry in piece.as_chunks().0 {
            // The length is a multiple of the entry size, itself one of 128: entries begin where the offset says so.
            let here = offset;
            offset += ENTRY;
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let used = u64_at(entry, 0) | u64_at(entry, 8) != 0 && first <= last && last < sectors;
            if here & (entry_size - 1) != 0 || !used || !wanted(&Entry(entry)) {
                continue;
            }
            result = match result {
                Lookup::Absent => Lookup::Found(Partition {
                    number: (here >> entry_size.trailing_zeros()) + 1,
                    // Both are inside the disk, whose size in bytes is a u64.
                    start: first.wrapping_mul(sector),
                    length: (last - first + 1).wrapping_mul(sector),
                    from_backup: false,
                }),
                _ => Lookup::Ambiguous,
            };
        }
    }
    (crc.value() == u32_at(&fields, 88)).then_some(result)
}
