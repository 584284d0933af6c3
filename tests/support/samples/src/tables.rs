//! Partition tables: a partition lies on its disk, a table that is not sound is not believed, and its backup answers.

use toehold::format::gpt::Table;
use toehold::text::Line;

use crate::layouts;
use crate::target::{Target, assert_facts};

const SECTOR: usize = 512;
const SECTORS: usize = 24;
/// First sector of the backup: its entries, then its header.
const BACKUP: usize = 22;

/// A small disk with both tables, each with its entries in one sector, and three partitions.
const DISK: layouts::Table = layouts::Table {
    sector: SECTOR,
    sectors: SECTORS as u64,
    count: 4,
    entry_size: 128,
    header_size: 92,
    entries: &[
        layouts::Entry {
            guid: [0x22; 16],
            name: "EFI-SYSTEM",
            sectors: (4, 7),
        },
        layouts::Entry {
            guid: [0x11; 16],
            name: "USR-A",
            sectors: (8, 15),
        },
        layouts::Entry {
            guid: *b"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x10",
            name: "Gr\u{f6}\u{df}e \u{1f4be}",
            sectors: (16, 19),
        },
    ],
};

pub const GPT: Target = Target {
    name: "gpt",
    seeds: || {
        let large = layouts::Table {
            count: 2,
            entry_size: 256,
            header_size: 512,
            entries: &DISK.entries[..2],
            ..DISK
        };
        let large_sectors = layouts::Table {
            sector: 4096,
            sectors: 6,
            entries: &[],
            ..DISK
        };
        vec![DISK.build(), large.build(), large_sectors.build()]
    },
    // Both headers, and the ends of the first two entries of both tables.
    fields: &[
        (520, 4),
        (524, 4),
        (536, 8),
        (544, 8),
        (552, 8),
        (560, 8),
        (584, 8),
        (592, 4),
        (596, 4),
        (1024, 16),
        (1056, 8),
        (1064, 8),
        (1080, 8),
        (1184, 8),
        (1192, 8),
        (11276, 4),
        (11288, 8),
        (11336, 8),
        (11344, 4),
        (11348, 4),
        (11296 + 1024, 8),
        (11304 + 1024, 8),
    ],
    words: &[],
    seal,
    check,
};

/// MBRs: with partitions, protective with others beside (hybrid), protective with no GPT, and with an extended partition.
pub const MBR: Target = Target {
    name: "mbr",
    seeds: || {
        let partition = |kind: u8, first: u32, sectors: u32| {
            let mut entry = [0; 16];
            entry[4] = kind;
            entry[8..12].copy_from_slice(&first.to_le_bytes());
            entry[12..].copy_from_slice(&sectors.to_le_bytes());
            entry
        };
        let disks = [
            [partition(0x83, 4, 8), partition(0x0C, 12, 4)],
            [partition(0xEE, 1, 3), partition(0x83, 4, 8)],
            [partition(0x83, 4, 8), partition(0xEE, 1, 3)],
            [partition(0x83, 4, 8), partition(0x05, 12, 8)],
        ];
        disks
            .map(|entries| {
                let mut disk = vec![0; 2 * SECTOR];
                disk[440..444].copy_from_slice(&SIGNATURE);
                for (entry, at) in entries.iter().zip(disk[446..].chunks_mut(16)) {
                    at.copy_from_slice(entry);
                }
                disk[510..512].copy_from_slice(b"\x55\xAA");
                disk
            })
            .to_vec()
    },
    fields: &[
        (440, 4),
        (446, 1),
        (450, 1),
        (454, 4),
        (458, 4),
        (466, 1),
        (470, 4),
        (474, 4),
        (510, 2),
        (512, 8),
    ],
    words: &[],
    seal: |bytes| {
        if let Some(end) = bytes.get_mut(510..512) {
            end.copy_from_slice(b"\x55\xAA");
        }
    },
    check,
};

const SIGNATURE: [u8; 4] = [0x4a, 0xc9, 0x30, 0x71];

/// Makes the checksums of both tables fit, where they are where [`DISK`] has them.
pub fn seal(disk: &mut [u8]) {
    let number = |disk: &[u8], at: usize| {
        let raw = disk.get(at..).and_then(<[u8]>::first_chunk);
        raw.map_or(0, |raw| u32::from_le_bytes(*raw)) as usize
    };
    for (header, entries) in [(1, 2), (SECTORS - 1, BACKUP)] {
        let (header, entries) = (header * SECTOR, entries * SECTOR);
        let length = number(disk, header + 80).saturating_mul(number(disk, header + 84));
        let crc = disk
            .get(entries..entries.saturating_add(length))
            .map(crc32fast::hash);
        let size = number(disk, header + 12);
        let Some(header) = disk.get_mut(header..header.saturating_add(size)) else {
            continue;
        };
        if size < 92 {
            continue;
        }
        if let Some(crc) = crc {
            header[88..92].copy_from_slice(&crc.to_le_bytes());
        }
        header[16..20].fill(0);
        let crc = crc32fast::hash(header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
    }
}

fn read(disk: &[u8], sector: u64, size: u64) -> Table {
    let mut table = Table::NONE;
    table.read(disk, (sector, size));
    table
}

fn describe(table: &mut Table, disk: &[u8], number: u32) -> Vec<u8> {
    let mut text = Line::new();
    table.describe(disk, number, &mut text);
    text.to_vec()
}

fn check(disk: &[u8]) {
    let len = disk.len() as u64;
    for (sector, size) in [
        (512, len),
        (4096, len),
        (512, len + (1 << 40)),
        (512, 0),
        (0, len),
    ] {
        let mut table = read(disk, sector, size);
        for number in [0, 1, 2, 3, 4, 5, 256, u32::MAX] {
            if let Some((start, length)) = table.partition(disk, number) {
                let end = start.checked_add(length).expect("a place on a disk");
                assert!(length > 0 && end <= size, "{start} + {length}");
            }
            assert_facts(
                &describe(&mut table, disk, number),
                &["PARTUUID", "PARTLABEL"],
            );
        }
    }
    check_mbr(disk);
    check_backup(disk);
}

/// Without anything that protects a GPT, the MBR's signature is what partitions are named by.
fn check_mbr(disk: &[u8]) {
    let Some(mbr) = disk.get(..512) else {
        return;
    };
    let is_protected = mbr[446..510]
        .as_chunks::<16>()
        .0
        .iter()
        .any(|entry| entry[4] == 0xEE);
    let is_there = mbr.ends_with(b"\x55\xAA");
    let text = describe(&mut read(disk, 512, disk.len() as u64), disk, 10);
    if is_there && !is_protected {
        let [a, b, c, d, ..] = mbr[440..] else {
            unreachable!("512 bytes");
        };
        let name = format!("\nPARTUUID={d:02x}{c:02x}{b:02x}{a:02x}-0a");
        assert_eq!(text, name.as_bytes());
    } else if !is_there {
        assert_eq!(text, b"");
    }
}

/// Where only the primary table was changed, and a checksum shows it, the backup answers.
fn check_backup(disk: &[u8]) {
    let good = DISK.build();
    let backup = BACKUP * SECTOR;
    if disk.len() != good.len()
        || disk[..SECTOR] != good[..SECTOR]
        || disk[backup..] != good[backup..]
    {
        return;
    }
    let is_sound = disk[SECTOR..].starts_with(b"EFI PART") && {
        let mut changed = disk.to_vec();
        seal(&mut changed);
        changed == disk
    };
    let mut table = read(disk, 512, disk.len() as u64);
    if !is_sound {
        assert!(table.is_hidden());
        assert_eq!(table.partition(disk, 2), Some((8 * 512, 8 * 512)));
        let name = b"\nPARTUUID=11111111-1111-1111-1111-111111111111\nPARTLABEL=USR-A";
        assert_eq!(describe(&mut table, disk, 2), name);
    }
}
