//! Partition tables: which one a disk has, every checksum checked, and what its partitions are called.
//!
//! Sources: UEFI Specification, "GUID Partition Table (GPT) Disk Layout"; the kernel's block/partitions/{efi,msdos}.c, whose
//! verdict on which table counts is followed, because partitions are numbered by it.

use super::crc32::{Crc32, crc32};
use super::{ReadAt, push_uuid, u16_at, u32_at, u64_at};
use crate::text::{Line, push, push_character, push_hex};

/// Largest logical sector, and the piece in which entries are read.
const CHUNK: usize = 4096;
/// More partition entries than this (in bytes) are no partition table.
const MAX_TABLE: u32 = 4 << 20;
/// Entries are 128 bytes times a power of two; what we know of them is in the first 128.
const ENTRY: u32 = 128;
/// In an entry: the partition's own GUID.
const GUID: usize = 16;
/// In an entry: the name, UTF-16.
const NAME: usize = 56;
/// In an MBR: its four entries, each of 16 bytes.
const MBR_ENTRIES: usize = 446;

/// The table that a disk has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Of an MBR: the disk's.
    signature: u32,
    /// Bytes from one entry to the next; 0: it is an MBR.
    entry_size: u32,
    /// Number of entries, used or not.
    pub count: u32,
    /// The primary table was bad.
    pub from_backup: bool,
    /// Where the entries begin, in bytes.
    entries: u64,
    /// Bytes of a logical sector.
    sector: u64,
    /// Logical sectors of the disk.
    sectors: u64,
}

/// Where a partition lies on its disk, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    pub start: u64,
    pub length: u64,
}

impl Table {
    /// No table.
    pub const NONE: Self = Self {
        signature: 0,
        entry_size: 0,
        count: 0,
        from_backup: false,
        entries: 0,
        sector: 0,
        sectors: 0,
    };

    /// Reads a disk's table; `None`: it has no valid one. A GPT counts where an MBR protects it. The backup is used when the
    /// primary is bad.
    ///
    /// `sector` is the logical sector size in bytes (512 to 4096), `size` the disk's in bytes.
    pub fn read<R: ReadAt + ?Sized>(disk: &R, sector: u64, size: u64) -> Option<Self> {
        let mut mbr = [0; 512];
        disk.read_at(0, &mut mbr)?;
        let entries = mbr.get(MBR_ENTRIES..510)?.as_chunks::<16>().0;
        if !mbr.ends_with(b"\x55\xAA") {
            return None;
        }
        // A partition of type 0xEE that begins with the GPT's header; in a hybrid MBR others stand beside it.
        let protects = |entry: &[u8; 16]| u32_at(entry, 4) & 0xFF == 0xEE && u32_at(entry, 8) == 1;
        let sectors = size.checked_div(sector)?;
        let table = Self {
            signature: u32_at(&mbr, 440),
            sector,
            sectors,
            ..Self::NONE
        };
        if !entries.iter().any(protects) {
            return Some(table);
        }
        [1, sectors.wrapping_sub(1)]
            .iter()
            .find_map(|lba| table.read_gpt(disk, *lba))
    }

    /// `None`: there is no valid GPT whose header is at sector `lba`.
    #[inline(never)] // Inlined into its one caller it costs 160 bytes more.
    fn read_gpt<R: ReadAt + ?Sized>(&self, disk: &R, lba: u64) -> Option<Self> {
        let mut chunk = [0; CHUNK];
        let header = chunk.get_mut(..self.sector as usize)?;
        disk.read_at(lba.checked_mul(self.sector)?, header)?;
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
        let (count, entry_size) = (u32_at(fields, 80), u32_at(fields, 84));
        let length = count.checked_mul(entry_size)?;
        let first = u64_at(fields, 72);
        let table_crc = u32_at(fields, 88);
        if !entry_size.is_power_of_two()
            || entry_size < ENTRY
            || length > MAX_TABLE
            || first > self.sectors
        {
            return None;
        }
        // Not beyond the disk's size in bytes, which is a u64.
        let entries = first.wrapping_mul(self.sector);
        let (mut crc, mut done) = (Crc32::new(), 0);
        while done < length {
            let piece = chunk.get_mut(..CHUNK.min((length - done) as usize))?;
            disk.read_at(entries.wrapping_add(done.into()), piece)?;
            crc.update(piece);
            done += piece.len() as u32;
        }
        (crc.value() == table_crc).then_some(Self {
            entry_size,
            count,
            entries,
            from_backup: lba != 1,
            ..*self
        })
    }

    /// Whether the kernel does not show the partitions by itself: it does not look at the backup (unless told `gpt`), and knows
    /// entries of one size.
    pub fn is_hidden(&self) -> bool {
        self.from_backup || self.entry_size > ENTRY
    }

    /// The used entry of partition `number`, counted from 1, of a GPT.
    fn entry<R: ReadAt + ?Sized>(&self, disk: &R, number: u32) -> Option<[u8; ENTRY as usize]> {
        let index = number.wrapping_sub(1);
        if index >= self.count {
            return None;
        }
        let mut entry = [0; ENTRY as usize];
        // The table's length was found to be small.
        let offset = u64::from(index.wrapping_mul(self.entry_size));
        disk.read_at(self.entries.wrapping_add(offset), &mut entry)?;
        let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
        let used = u64_at(&entry, 0) | u64_at(&entry, 8) != 0;
        (used && first <= last && last < self.sectors).then_some(entry)
    }

    /// Where a GPT's partition `number` lies.
    pub fn partition<R: ReadAt + ?Sized>(&self, disk: &R, number: u32) -> Option<Partition> {
        let entry = self.entry(disk, number)?;
        let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
        // Both are inside the disk, whose size in bytes is a u64.
        Some(Partition {
            start: first.wrapping_mul(self.sector),
            length: (last - first + 1).wrapping_mul(self.sector),
        })
    }

    /// Appends what the table calls partition `number`, as blkid(8) and the kernel do: `PARTUUID=…` and `PARTLABEL=…`, each
    /// with a newline before it.
    pub fn describe<R: ReadAt + ?Sized>(&self, disk: &R, number: u32, text: &mut Line) {
        if self.entry_size == 0 {
            if self.sector != 0 {
                push(text, b"\nPARTUUID=");
                push_hex(text, &self.signature.to_be_bytes());
                push(text, b"-");
                push_hex(text, &[number as u8]);
            }
            return;
        }
        let Some(entry) = self.entry(disk, number) else {
            return;
        };
        if let Some([a, b, c, d, e, f, g, h, rest @ ..]) =
            entry.get(GUID..).and_then(<[u8]>::first_chunk::<16>)
        {
            // The first three groups are little endian.
            push(text, b"\nPARTUUID=");
            let mut guid = [*d, *c, *b, *a, *f, *e, *h, *g, 0, 0, 0, 0, 0, 0, 0, 0];
            guid.iter_mut()
                .skip(8)
                .zip(rest)
                .for_each(|(to, from)| *to = *from);
            push_uuid(text, &guid);
        }
        if u16_at(&entry, NAME) != 0 {
            push(text, b"\nPARTLABEL=");
            push_utf16(text, &entry);
        }
    }
}

/// Appends an entry's name as UTF-8. A half of a surrogate pair stands for itself, as for blkid.
fn push_utf16(text: &mut Line, entry: &[u8; ENTRY as usize]) {
    let mut at = NAME;
    while at < entry.len() {
        let mut code = u32::from(u16_at(entry, at));
        at += 2;
        if code == 0 {
            return;
        }
        let low = u32::from(u16_at(entry, at));
        if code & 0xFC00 == 0xD800 && low & 0xFC00 == 0xDC00 {
            code = 0x10000 + ((code & 0x3FF) << 10 | low & 0x3FF);
            at += 2;
        }
        push_character(text, code);
    }
}
