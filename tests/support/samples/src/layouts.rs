//! Structures laid out by hand from their specifications, small enough for every bit of them to be tried.

use toehold::asked::USR_WORDS;

/// A verity superblock with the UUID 00010203-…; sizes are those of a data and of a hash block.
pub fn superblock(
    hash_type: u32,
    algorithm: &str,
    sizes: (u32, u32),
    data_blocks: u64,
    salt: &[u8],
) -> [u8; 512] {
    let mut bytes = [0; 512];
    let uuid: Vec<u8> = (0..16).collect();
    for (offset, part) in [
        (0, &b"verity"[..]),
        (8, &1u32.to_le_bytes()),
        (12, &hash_type.to_le_bytes()),
        (16, &uuid),
        (32, algorithm.as_bytes()),
        (64, &sizes.0.to_le_bytes()),
        (68, &sizes.1.to_le_bytes()),
        (72, &data_blocks.to_le_bytes()),
        (80, &(salt.len() as u16).to_le_bytes()),
        (88, salt),
    ] {
        bytes[offset..offset + part.len()].copy_from_slice(part);
    }
    bytes
}

/// One partition of a table made by hand.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The GUID's bytes as they lie on the disk.
    pub guid: [u8; 16],
    pub name: &'static str,
    /// First and last sector.
    pub sectors: (u64, u64),
}

/// A disk with a primary and a backup table.
pub struct Table<'a> {
    pub sector: usize,
    /// Sectors of the disk.
    pub sectors: u64,
    /// How many entries the table has room for, and the bytes of each.
    pub count: usize,
    pub entry_size: usize,
    /// Bytes of a header, at least 92.
    pub header_size: usize,
    pub entries: &'a [Entry],
}

impl Table<'_> {
    /// Sectors that the entries take.
    pub fn length(&self) -> u64 {
        (self.count * self.entry_size).div_ceil(self.sector) as u64
    }

    /// First sector of the backup's entries.
    pub fn backup(&self) -> u64 {
        self.sectors - 1 - self.length()
    }

    /// The bytes of the whole disk.
    pub fn build(&self) -> Vec<u8> {
        self.build_with(|_| ())
    }

    /// The same with the entries changed before checksums are made.
    pub fn build_with(&self, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut disk = vec![0; self.sector * self.sectors as usize];
        // The protective MBR: one partition from sector 1 on.
        for (offset, byte) in [(446 + 4, 0xEE), (446 + 8, 1), (510, 0x55), (511, 0xAA)] {
            disk[offset] = byte;
        }
        let mut entries = vec![0; self.count * self.entry_size];
        for (entry, at) in self.entries.iter().zip(entries.chunks_mut(self.entry_size)) {
            // The type: Linux filesystem data.
            at[..16].copy_from_slice(
                b"\xAF\x3D\xC6\x0F\x83\x84\x72\x47\x8E\x79\x3D\x69\xD8\x47\x7D\xE4",
            );
            at[16..32].copy_from_slice(&entry.guid);
            at[32..40].copy_from_slice(&entry.sectors.0.to_le_bytes());
            at[40..48].copy_from_slice(&entry.sectors.1.to_le_bytes());
            for (unit, at) in entry.name.encode_utf16().zip(at[56..128].chunks_mut(2)) {
                at.copy_from_slice(&unit.to_le_bytes());
            }
            // What a larger entry has behind these 128 bytes is no entry, whatever it looks like.
            let (own, more) = at.split_at_mut(128);
            more.chunks_exact_mut(128)
                .for_each(|more| more.copy_from_slice(own));
        }
        change(&mut entries);
        let last = self.sectors - 1;
        for (header, other, table) in [(1, last, 2), (last, 1, self.backup())] {
            self.place(&mut disk, table, &entries);
            let header_bytes = self.header(header, other, table, crc32fast::hash(&entries));
            self.place(&mut disk, header, &header_bytes);
        }
        disk
    }

    fn place(&self, disk: &mut [u8], sector: u64, bytes: &[u8]) {
        let at = sector as usize * self.sector;
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn header(&self, own: u64, other: u64, table: u64, entries_crc: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.header_size];
        for (offset, part) in [
            (0, &b"EFI PART\0\0\x01\0"[..]),
            (12, &(self.header_size as u32).to_le_bytes()),
            (24, &own.to_le_bytes()),
            (32, &other.to_le_bytes()),
            (40, &(2 + self.length()).to_le_bytes()),
            (48, &(self.backup() - 1).to_le_bytes()),
            (56, b"the disk's GUID."),
            (72, &table.to_le_bytes()),
            (80, &(self.count as u32).to_le_bytes()),
            (84, &(self.entry_size as u32).to_le_bytes()),
            (88, &entries_crc.to_le_bytes()),
        ] {
            bytes[offset..offset + part.len()].copy_from_slice(part);
        }
        let crc = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// The bytes of a plan: `modules` and `aliases` as they are, the settings that every plan has and `extra` ones.
pub fn plan(modules: &[u8], aliases: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for section in [modules, aliases] {
        rest.extend((section.len() as u32).to_le_bytes());
    }
    rest.extend([modules, aliases].concat());
    for (key, value) in [
        (1, &b"6.1.0-56-amd64"[..]),
        (2, b"usr"),
        (13, b"panic-on-corruption"),
        (6, b"/sysusr/usr"),
        (7, b"lib/stage2.img"),
        (8, b"mode=0755"),
        (9, b"/init"),
        (11, b".ko"),
        (20, USR_WORDS),
    ] {
        // A length in two bytes, whether or not one would do.
        rest.extend([key, value.len() as u8 | 0x80, (value.len() >> 7) as u8]);
        rest.extend(value);
    }
    rest.extend(extra);
    let mut file = b"toehold\0\x04\0\0\0".to_vec();
    file.extend((20 + rest.len() as u32).to_le_bytes());
    file.extend(crc32fast::hash(&rest).to_le_bytes());
    file.extend(rest);
    file
}
