//! Partition tables: which one a disk has, every checksum checked, and what its partitions are
//! called.
//!
//! Sources: UEFI Specification, "GUID Partition Table (GPT) Disk Layout"; the kernel's
//! block/partitions/{efi,msdos}.c, whose verdict on which table counts is followed, because
//! partitions are numbered by it.

use super::crc32::{Crc32, crc32};
use super::{GUID_ORDER, ReadAt, push_uuid, u16_at, u32_at, u64_at};
use crate::text::{Line, push, push_character, push_hex};

/// Largest logical sector, and the piece in which entries are read.
const CHUNK: usize = 4096;
/// More partition entries than this (in bytes) are no partition table.
const MAX_TABLE: u32 = 4 << 20;
/// Bytes of an entry that are used. An entry may be longer by a power of two; what stands behind is
/// unknown.
const ENTRY: u32 = 128;
/// In an entry: the partition's own GUID.
const GUID: usize = 16;
/// In an entry: the name, UTF-16.
const NAME: usize = 56;
/// In an MBR: its four entries.
const MBR_ENTRIES: [usize; 4] = [446, 462, 478, 494];

/// The table that a disk has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    kind: Kind,
    /// Of an MBR: the disk's signature.
    signature: u32,
    /// Bytes from one entry to the next.
    entry_size: u32,
    /// Number of entries, used or not.
    count: u32,
    /// Of a GPT: the primary table was bad, and this is the backup.
    pub from_backup: bool,
    /// Where the entries begin, in bytes.
    entries: u64,
    /// Bytes of a logical sector.
    sector: u64,
    /// Logical sectors of the disk.
    sectors: u64,
    /// Of a GPT: the entry that was read last.
    entry: [u8; ENTRY as usize],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    None,
    Mbr,
    Gpt,
}

impl Table {
    /// No table.
    pub const NONE: Self = Self {
        kind: Kind::None,
        signature: 0,
        entry_size: 0,
        count: 0,
        from_backup: false,
        entries: 0,
        sector: 0,
        sectors: 0,
        entry: [0; ENTRY as usize],
    };

    /// Whether a disk's table was looked for.
    pub fn is_read(&self) -> bool {
        self.sector != 0
    }

    /// Reads a disk's table. A GPT counts where an MBR protects it. The backup is used when the
    /// primary is bad.
    ///
    /// `geometry` is the logical sector size (512 to 4096) and the disk's, both in bytes.
    pub fn read<R: ReadAt + ?Sized>(&mut self, disk: &R, geometry: (u64, u64)) {
        self.kind = Kind::None;
        let mut mbr = [0; 512];
        self.sector = geometry.0;
        self.sectors = geometry.1.checked_div(geometry.0).unwrap_or(0);
        if disk.read_at(0, &mut mbr).is_none() || u16_at(&mbr, 510) != 0xAA55 {
            return;
        }
        self.signature = u32_at(&mbr, 440);
        // A partition of type 0xEE that begins with the GPT's header; in a hybrid MBR others stand
        // beside it.
        let protects = |offset: &usize| {
            u16_at(&mbr, *offset + 4) as u8 == 0xEE && u32_at(&mbr, *offset + 8) == 1
        };
        if MBR_ENTRIES.iter().any(protects) {
            let _ = self
                .read_gpt(disk, 1)
                .or_else(|| self.read_gpt(disk, self.sectors.wrapping_sub(1)));
        } else {
            self.kind = Kind::Mbr;
        }
    }

    /// `None`: there is no valid GPT whose header is at sector `lba`.
    fn read_gpt<R: ReadAt + ?Sized>(&mut self, disk: &R, lba: u64) -> Option<()> {
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
        (self.count, self.entry_size) = (u32_at(fields, 80), u32_at(fields, 84));
        let length = self.count.checked_mul(self.entry_size)?;
        let first = u64_at(fields, 72);
        let table_crc = u32_at(fields, 88);
        if !self.entry_size.is_power_of_two()
            || self.entry_size < ENTRY
            || length > MAX_TABLE
            || first > self.sectors
        {
            return None;
        }
        // Does not overflow: it lies on the disk, whose size in bytes is a u64.
        self.entries = first.wrapping_mul(self.sector);
        let (mut crc, mut done) = (Crc32::new(), 0);
        while done < length {
            let piece = chunk.get_mut(..CHUNK.min((length - done) as usize))?;
            disk.read_at(self.entries.wrapping_add(done.into()), piece)?;
            crc.update(piece);
            done += piece.len() as u32;
        }
        if crc.value() == table_crc {
            self.from_backup = lba != 1;
            self.kind = Kind::Gpt;
        }
        (crc.value() == table_crc).then_some(())
    }

    /// Whether the kernel does not show the partitions by itself: it does not look at the backup
    /// (unless told `gpt`), and knows entries of one size.
    pub fn is_hidden(&self) -> bool {
        self.kind == Kind::Gpt && (self.from_backup || self.entry_size > ENTRY)
    }

    /// Reads the entry of partition `number`, counted from 1, of a GPT; `None` if it is not used.
    fn read_entry<R: ReadAt + ?Sized>(&mut self, disk: &R, number: u32) -> Option<()> {
        let index = number.wrapping_sub(1);
        if self.kind != Kind::Gpt || index >= self.count {
            return None;
        }
        // Does not overflow: the whole table is no longer than MAX_TABLE.
        let offset = u64::from(index.wrapping_mul(self.entry_size));
        disk.read_at(self.entries.wrapping_add(offset), &mut self.entry)?;
        let (first, last) = (u64_at(&self.entry, 32), u64_at(&self.entry, 40));
        let used = u64_at(&self.entry, 0) | u64_at(&self.entry, 8) != 0;
        (used && first <= last && last < self.sectors).then_some(())
    }

    /// Where a GPT's partition `number` lies on its disk: the first byte, and the length in bytes.
    pub fn partition<R: ReadAt + ?Sized>(&mut self, disk: &R, number: u32) -> Option<(u64, u64)> {
        self.read_entry(disk, number)?;
        let (first, last) = (u64_at(&self.entry, 32), u64_at(&self.entry, 40));
        // Both are inside the disk, whose size in bytes is a u64.
        let length = (last - first + 1).wrapping_mul(self.sector);
        Some((first.wrapping_mul(self.sector), length))
    }

    /// Appends what the table calls partition `number`, as blkid(8) and the kernel do: `PARTUUID=…`
    /// and `PARTLABEL=…`, each with a newline before it.
    pub fn describe<R: ReadAt + ?Sized>(&mut self, disk: &R, number: u32, text: &mut Line) {
        if self.kind == Kind::Mbr {
            push(text, b"\nPARTUUID=");
            push_hex(text, &self.signature.to_be_bytes());
            push(text, b"-");
            push_hex(text, &[number as u8]);
        } else if self.read_entry(disk, number).is_some() {
            let entry = &self.entry;
            push(text, b"\nPARTUUID=");
            push_uuid(text, entry.get(GUID..NAME).unwrap_or_default(), GUID_ORDER);
            if u16_at(entry, NAME) != 0 {
                push(text, b"\nPARTLABEL=");
                push_utf16(text, entry);
            }
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
