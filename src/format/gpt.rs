//! GUID partition tables: one partition looked up, every checksum checked, the backup used when the primary is bad.
//!
//! Source: UEFI Specification, "GUID Partition Table (GPT) Disk Layout".

use super::{ReadAt, crc32::Crc32, u32_at, u64_at};

/// Largest logical sector, and the piece in which entries are read.
const CHUNK: usize = 4096;
/// More partition entries than this (in bytes) are no partition table.
const MAX_TABLE: u64 = 4 << 20;
/// Entries are 128 bytes times a power of two.
const ENTRY: usize = 128;

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
pub struct Entry<'a>(&'a [u8; ENTRY]);

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
    let last = (size / sector.max(1)).wrapping_sub(1);
    [(1, false), (last, true)]
        .into_iter()
        .find_map(|(lba, from_backup)| read_table(disk, sector, lba, from_backup, wanted))
        .unwrap_or(Lookup::Absent)
}

/// `None`: there is no valid table whose header is at `lba`.
fn read_table<R: ReadAt + ?Sized>(
    disk: &R,
    sector: u64,
    lba: u64,
    from_backup: bool,
    wanted: &dyn Fn(&Entry) -> bool,
) -> Option<Lookup> {
    let mut chunk = [0; CHUNK];
    let header = chunk.get_mut(..sector as usize)?;
    disk.read_at(lba.checked_mul(sector)?, header)?;
    if !header.starts_with(b"EFI PART") || u64_at(header, 24)? != lba {
        return None;
    }
    let header_size = u32_at(header, 12)? as usize;
    let stored = u32_at(header, 16)?;
    header.get_mut(16..20)?.fill(0);
    let mut crc = Crc32::new();
    crc.update(header.get(..header_size).filter(|_| header_size >= 92)?);
    if crc.value() != stored {
        return None;
    }
    let table = u64_at(header, 72)?.checked_mul(sector)?;
    let entry_size = u64::from(u32_at(header, 84)?);
    let length = u64::from(u32_at(header, 80)?).checked_mul(entry_size)?;
    let entries_crc = u32_at(header, 88)?;
    if entry_size < ENTRY as u64 || !entry_size.is_power_of_two() || length > MAX_TABLE {
        return None;
    }

    let mut crc = Crc32::new();
    let mut result = Lookup::Absent;
    let mut done = 0;
    while done < length {
        let piece = chunk.get_mut(..(length - done).min(CHUNK as u64) as usize)?;
        disk.read_at(table.checked_add(done)?, piece)?;
        crc.update(piece);
        for entry in piece.as_chunks().0 {
            // The length is a multiple of the entry size, itself one of 128: entries begin where the offset says so.
            let here = done;
            done += ENTRY as u64;
            if here & (entry_size - 1) != 0
                || entry.first_chunk::<16>() == Some(&[0; 16])
                || !wanted(&Entry(entry))
            {
                continue;
            }
            let (first, end) = (u64_at(entry, 32)?, u64_at(entry, 40)?.checked_add(1)?);
            result = match result {
                Lookup::Absent => Lookup::Found(Partition {
                    number: (here >> entry_size.trailing_zeros()) as u32 + 1,
                    start: first.checked_mul(sector)?,
                    length: end.checked_sub(first)?.checked_mul(sector)?,
                    from_backup,
                }),
                _ => Lookup::Ambiguous,
            };
        }
    }
    (crc.value() == entries_crc).then_some(result)
}
