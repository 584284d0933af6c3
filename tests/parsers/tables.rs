//! Partition tables by hand: unusual ones and impossible ones.

use crate::gpt::{Told, look, survives, told};
use toehold_samples::layouts::{Entry, Table};

fn entry(byte: u8, name: &'static str, sectors: (u64, u64)) -> Entry {
    Entry {
        guid: [byte; 16],
        name,
        sectors,
    }
}

const ONES: &str = "11111111-1111-1111-1111-111111111111";

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
                let want = Told {
                    // The kernel knows entries of one size.
                    hidden: entry_size > 128,
                    ..told((61, 70), ONES, "mine")
                };
                survives(&table.build(), sector, [2, table.backup()], 2, &want);
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
    let (there, none) = (told((10, 19), ONES, "mine"), Told::default());
    assert_eq!(look(&good.build(), 512, 1), there);
    let bad = Table {
        entry_size: 192,
        ..good
    };
    assert_eq!(look(&bad.build(), 512, 1), none, "entries of 192 bytes");
    // 4 MiB of entries is the most.
    for (count, want) in [(32768, &there), (32769, &none)] {
        let large = Table {
            sectors: 16500,
            count,
            ..good
        };
        assert_eq!(look(&large.build(), 512, 1), *want, "{count} entries");
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
        assert_eq!(look(&disk, 512, 1), none, "{what}");
    }
    // A GPT counts where an MBR protects it: type, first sector, signature.
    for (what, offset, byte) in [
        ("no protective partition", 446 + 4, 0x83),
        ("that begins elsewhere", 446 + 8, 2),
    ] {
        let mut disk = good.build();
        disk[offset] = byte;
        let mbr = Told {
            names: "\nPARTUUID=00000000-01".to_owned(),
            ..Told::default()
        };
        assert_eq!(look(&disk, 512, 1), mbr, "{what}");
    }
    let mut disk = good.build();
    disk[510] = 0;
    assert_eq!(look(&disk, 512, 1), none, "no signature");
    let disk = good.build();
    for sector in [0, 1, 91, 256, 8192, u64::MAX] {
        assert_eq!(look(&disk, sector, 1), none, "{sector}");
    }
    for size in [0, 1, 511, 512, 1023] {
        assert_eq!(look(&disk[..size], 512, 1), none, "{size}");
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
        assert_eq!(look(&table.build(), 512, 1), Told::default(), "{what}");
    }
}

/// Half of a surrogate pair is no character; what blkid makes of it is three bytes that are no UTF-8 either.
#[test]
fn names_that_are_no_text() {
    use toehold::format::gpt;
    use toehold::text::Line;
    for (units, want) in [
        (&[0xD83D, 0xDCBE][..], &b"\xF0\x9F\x92\xBE"[..]),
        (&[0xD83D, 0x41], b"\xED\xA0\xBDA"),
        (&[0xDCBE, 0xD83D], b"\xED\xB2\xBE\xED\xA0\xBD"),
        (&[0x41, 0, 0x42], b"A"),
        (&[0x0A, 0x1F, 0x7E], b"??~"),
    ] {
        let mut name = [0; 72];
        for (unit, at) in units.iter().zip(name.chunks_mut(2)) {
            at.copy_from_slice(&u16::to_le_bytes(*unit));
        }
        let table = Table {
            sector: 512,
            sectors: 64,
            count: 4,
            entry_size: 128,
            header_size: 92,
            entries: &[entry(0x11, "", (10, 19))],
        };
        let disk = table.build_with(|entries| entries[56..128].copy_from_slice(&name));
        let mut text = Line::new();
        let mut read = gpt::Table::NONE;
        read.read(&disk[..], (512, disk.len() as u64));
        read.describe(&disk[..], 1, &mut text);
        let names = [b"\nPARTUUID=", ONES.as_bytes(), b"\nPARTLABEL=", want].concat();
        assert_eq!(text, names[..], "{units:x?}");
    }
}
