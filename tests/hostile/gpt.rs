//! Partition tables cut off and with each bit flipped: the right partition or none, never another.

use toehold::format::gpt;
use toehold::text::Line;

use crate::each_flip;
use crate::samples::{Entry, Table};

const SECTOR: usize = 512;

/// A small disk: both tables, and three partitions between them. Entries 2 and 3 differ in one bit.
pub const TABLE: Table = Table {
    sector: SECTOR,
    sectors: 64,
    count: 4,
    entry_size: 128,
    header_size: 92,
    entries: &[
        Entry {
            guid: [0x22; 16],
            name: "EFI-SYSTEM",
            sectors: (10, 19),
        },
        Entry {
            guid: [0x11; 16],
            name: "USR-A",
            sectors: (20, 39),
        },
        Entry {
            guid: *b"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x10",
            name: "USR-C",
            sectors: (40, 49),
        },
    ],
};

/// By GUID and by name.
const WANTED: [(usize, &[u8]); 2] = [
    (gpt::GUID, &[0x11; 16]),
    (gpt::NAME, b"U\0S\0R\0-\0A\0\0\0"),
];

/// What to look for.
pub fn field(offset: usize, bytes: &[u8]) -> gpt::Field {
    let bytes = Line::from_slice(bytes).unwrap();
    gpt::Field { offset, bytes }
}

/// Number, first byte and length of what is found for each of [`WANTED`]; `None` where the table is refused.
pub fn partitions(disk: &[u8], size: u64) -> [Option<(u32, u64, u64)>; 2] {
    WANTED.map(|(offset, wanted)| {
        let found = gpt::find(disk, SECTOR as u64, size, &field(offset, wanted))?;
        assert!(!found.ambiguous);
        Some((found.number, found.start, found.length))
    })
}

pub const RIGHT: Option<(u32, u64, u64)> = Some((2, 20 * 512, 20 * 512));

#[test]
fn gpt_with_a_bit_flipped() {
    let good = TABLE.build();
    let size = good.len() as u64;
    let primary = SECTOR..(2 + TABLE.length() as usize) * SECTOR;
    let backup = TABLE.backup() as usize * SECTOR..good.len();
    assert_eq!(partitions(&good, size), [RIGHT; 2]);
    // With both tables there, one always answers.
    for range in [primary.clone(), backup.clone()] {
        each_flip(&mut good.clone(), range, |disk, bit| {
            assert_eq!(partitions(disk, size), [RIGHT; 2], "bit {bit}");
        });
    }
    // With one only, it is right or refused. Of a sector, the bytes behind the header are not guarded, and mean nothing.
    for (lost, range, header) in [(TABLE.sectors as usize - 1, primary, 1), (1, backup, 63)] {
        let mut disk = good.clone();
        disk[lost * SECTOR..][..SECTOR].fill(0);
        let guarded = header * SECTOR..header * SECTOR + 92;
        each_flip(&mut disk, range, |disk, bit| {
            let found = partitions(disk, size);
            if guarded.contains(&(bit / 8)) {
                assert_eq!(found, [None; 2], "bit {bit}");
            } else {
                assert!(
                    found == [RIGHT; 2] || found == [None; 2],
                    "bit {bit}: {found:?}"
                );
            }
        });
    }
}

#[test]
fn gpt_cut_off() {
    let good = TABLE.build();
    let mut without_backup = good.clone();
    without_backup[63 * SECTOR..].fill(0);
    // Between the tables nothing is read: whole sectors are enough there.
    let read = |len: &usize| {
        len.is_multiple_of(SECTOR)
            || !((3 + TABLE.length() as usize) * SECTOR..TABLE.backup() as usize * SECTOR)
                .contains(len)
    };
    for disk in [good, without_backup] {
        for len in (0..disk.len()).filter(read) {
            for found in [
                partitions(&disk[..len], disk.len() as u64),
                partitions(&disk[..len], len as u64),
            ] {
                for found in found {
                    // A partition that ends behind the disk is none.
                    let fits = matches!(found, None | Some((0, 0, 0))) || found == RIGHT;
                    assert!(fits, "{len} bytes: {found:?}");
                }
            }
        }
    }
}
