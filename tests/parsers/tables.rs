//! Partition tables by hand: unusual ones, impossible ones, and ones with a partition twice.

use toehold::format::gpt::find;

use crate::gpt::{NOT_THERE, at, field, look, survives};
use crate::samples::{Entry, Table};

fn entry(byte: u8, name: &'static str, sectors: (u64, u64)) -> Entry {
    Entry {
        guid: [byte; 16],
        name,
        sectors,
    }
}

const ONES: &str = "PARTUUID=11111111-1111-1111-1111-111111111111";

#[test]
fn unusual_counts_and_sizes() {
    let entries = [
        entry(0x22, "other", (60, 60)),
        entry(0x11, "mine", (61, 70)),
    ];
    for sector in [512, 1024, 2048, 4096] {
        for (count, entry_size) in [
            (2, 128),
            (3, 128),
            (5, 256),
            (31, 128),
            (33, 512),
            (4, 4096),
            (3, 8192),
        ] {
            for header_size in [92, 93, sector] {
                let table = Table {
                    sector,
                    sectors: 256,
                    count,
                    entry_size,
                    header_size,
                    entries: &entries,
                };
                let specs = [ONES, "PARTLABEL=mine"];
                survives(
                    &table.build(),
                    sector,
                    [2, table.backup()],
                    &specs,
                    at(sector, 2, (61, 70)),
                );
            }
        }
    }
}

/// Sound checksums over what no table can be.
#[test]
fn no_tables() {
    let good = Table {
        sector: 512,
        sectors: 64,
        count: 4,
        entry_size: 128,
        header_size: 92,
        entries: &[entry(0x11, "mine", (10, 19))],
    };
    assert_eq!(look(&good.build(), 512, ONES), at(512, 1, (10, 19)));
    let bad = Table {
        entry_size: 192,
        ..good
    };
    assert_eq!(look(&bad.build(), 512, ONES), None, "entries of 192 bytes");
    // 4 MiB of entries is the most.
    for (count, want) in [(32768, at(512, 1, (10, 19))), (32769, None)] {
        let large = Table {
            sectors: 16500,
            count,
            ..good
        };
        assert_eq!(look(&large.build(), 512, ONES), want, "{count} entries");
    }
    // Fields of the header changed, and its checksum made to fit.
    for (what, offset, bytes) in [
        ("signature", 0, b"EFI PARY".to_vec()),
        ("header of 91 bytes", 12, vec![91]),
        ("header longer than its sector", 12, vec![1, 2]),
        ("another sector's header", 24, vec![2]),
        ("entries outside the disk", 72, vec![200]),
        ("entries far outside", 72, u64::MAX.to_le_bytes().to_vec()),
        (
            "entries that wrap around",
            72,
            (1u64 << 55 | 2).to_le_bytes().to_vec(),
        ),
        (
            "more entries than a table has",
            80,
            u32::MAX.to_le_bytes().to_vec(),
        ),
        ("entries of 64 bytes", 84, vec![64]),
        ("entries of no bytes", 84, vec![0]),
        (
            "entries too large",
            84,
            0x8000_0000u32.to_le_bytes().to_vec(),
        ),
    ] {
        let mut disk = good.build();
        for header in [512, 63 * 512] {
            disk[header + offset..][..bytes.len()].copy_from_slice(&bytes);
            disk[header + 16..header + 20].fill(0);
            let size = u16::from_le_bytes([disk[header + 12], disk[header + 13]]);
            let end = disk.len().min(header + usize::from(size));
            let crc = crc32fast::hash(&disk[header..end]);
            disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
        }
        assert_eq!(look(&disk, 512, ONES), None, "{what}");
    }
    for sector in [0, 1, 91, 256, 8192, u64::MAX] {
        let disk = good.build();
        assert_eq!(
            find(&disk[..], sector, disk.len() as u64, &field(ONES)),
            None,
            "{sector}"
        );
    }
    for size in [0, 1, 511, 512, 1023] {
        assert_eq!(
            find(&good.build()[..size as usize], 512, size, &field(ONES)),
            None,
            "{size}"
        );
    }
}

#[test]
fn entries_that_are_no_partitions() {
    for (what, sectors) in [
        ("ends before it begins", (20, 19)),
        ("ends behind the disk", (20, 64)),
        ("ends far behind the disk", (20, u64::MAX)),
    ] {
        let table = Table {
            sector: 512,
            sectors: 64,
            count: 4,
            entry_size: 128,
            header_size: 92,
            entries: &[entry(0x11, "mine", sectors)],
        };
        assert_eq!(look(&table.build(), 512, ONES), NOT_THERE, "{what}");
    }
}

#[test]
fn more_than_one() {
    let mine = |sectors| entry(0x11, "mine", sectors);
    let other = entry(0x22, "other", (60, 60));
    for (entries, ambiguous) in [
        (vec![other, mine((20, 29))], false),
        (vec![mine((20, 29)), other, mine((30, 39))], true),
        (
            vec![mine((20, 29)), mine((20, 29)), mine((30, 39)), other],
            true,
        ),
    ] {
        let table = Table {
            sector: 512,
            sectors: 128,
            count: 8,
            entry_size: 128,
            header_size: 92,
            entries: &entries,
        };
        let disk = table.build();
        for spec in [ONES, "PARTLABEL=mine"] {
            assert_eq!(
                look(&disk, 512, spec).unwrap().ambiguous,
                ambiguous,
                "{spec}"
            );
        }
        let found = look(&disk, 512, "PARTLABEL=other").unwrap();
        assert!(!found.ambiguous && found.number != 0);
    }
}
