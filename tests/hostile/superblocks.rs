//! Superblocks of filesystems and of verity, cut off and with each bit flipped.

use toehold::format::verity::Superblock;
use toehold::format::{ReadAt, filesystem};
use toehold::text::Line;

use crate::{each_flip, samples};

/// A filesystem's place on a device that is zero elsewhere.
pub struct Sparse<'a> {
    pub offset: u64,
    pub bytes: &'a [u8],
}

impl ReadAt for Sparse<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        buffer.fill(0);
        match offset.checked_sub(self.offset) {
            Some(within) => self.bytes.read_at(within, buffer),
            None => Some(()),
        }
    }
}

/// The smallest of each: offset, superblock of 512 bytes, size in bytes.
pub fn superblocks() -> [(u64, Vec<u8>, u64); 4] {
    let make = |parts: &[(usize, &[u8])]| {
        let mut block = vec![0; 512];
        for (offset, bytes) in parts {
            block[*offset..*offset + bytes.len()].copy_from_slice(bytes);
        }
        block
    };
    [
        (0, make(&[(0, b"hsqs"), (40, &6690u64.to_le_bytes())]), 8192),
        (
            1024,
            make(&[(0, b"\xE2\xE1\xF5\xE0"), (12, &[12]), (36, &[7])]),
            7 * 4096,
        ),
        (
            1024,
            make(&[(4, &[9]), (24, &[2]), (56, b"\x53\xEF"), (96, &[0xC2])]),
            9 * 4096,
        ),
        (
            65536,
            make(&[(64, b"_BHRfS_M"), (112, &(1u64 << 27).to_le_bytes())]),
            1 << 27,
        ),
    ]
}

#[test]
fn filesystems() {
    for (offset, block, size) in superblocks() {
        let good = filesystem::detect(&Sparse {
            offset,
            bytes: &block,
        })
        .unwrap();
        assert_eq!(good.size, size);
        each_flip(&mut block.clone(), 0..512, |bytes, _| {
            if let Some(found) = filesystem::detect(&Sparse { offset, bytes }) {
                assert_eq!(found.size % 4096, 0);
            }
        });
        for len in 0..512 {
            assert_eq!(
                filesystem::detect(&Sparse {
                    offset,
                    bytes: &block[..len]
                }),
                None
            );
        }
    }
}

/// Sizes that no device has are refused, not wrapped around to small ones.
#[test]
fn sizes_beyond_64_bits() {
    let [_, (_, mut erofs, _), (_, mut ext4, _), _] = superblocks();
    for count in [
        1u64,
        9,
        1 << 31,
        1 << 31 | 1,
        1 << 32,
        1 << 52,
        1 << 53 | 1,
        1 << 63 | 1,
        u64::MAX,
    ] {
        let (low, high) = (count as u32, (count >> 32) as u32);
        erofs[36..40].copy_from_slice(&low.to_le_bytes());
        ext4[4..8].copy_from_slice(&low.to_le_bytes());
        ext4[336..340].copy_from_slice(&high.to_le_bytes());
        for shift in 0..=255 {
            (erofs[12], ext4[24]) = (shift, shift);
            for (bytes, blocks, shift) in [
                (&erofs, u64::from(low), u32::from(shift)),
                (&ext4, count, u32::from(shift) + 10),
            ] {
                let found = filesystem::detect(&Sparse {
                    offset: 1024,
                    bytes,
                });
                let size = |shift: u32| (u128::from(blocks) << shift).next_multiple_of(4096);
                let want = Some(shift).filter(|shift| *shift < 64).map(size);
                let want = want.and_then(|size| u64::try_from(size).ok());
                assert_eq!(found.map(|found| found.size), want, "{blocks} << {shift}");
            }
        }
    }
}

/// What the table says for these bytes, if they are a superblock.
pub fn table(bytes: &[u8; 512]) -> Option<String> {
    let parsed = Superblock::parse(bytes)?;
    let mut text = Line::new();
    parsed.push_uuid(&mut text, b"usr");
    text.clear();
    parsed.push_table(&mut text, b"254:1", u64::MAX, b"00ff", b"");
    // The device's length cannot wrap around to a small one.
    assert!(parsed.sectors() >= parsed.data_blocks());
    Some(String::from_utf8(text.to_vec()).unwrap())
}

#[test]
fn verity_superblock() {
    let good = samples::superblock(1, "sha256", (4096, 4096), 260_094, &[0xAB; 32]);
    let whole = table(&good).unwrap();
    each_flip(&mut good.clone(), 0..512, |bytes, bit| {
        let text = table(bytes.first_chunk().unwrap());
        match bit / 8 {
            // Signature and version admit of nothing else; the UUID and the padding are not in the table.
            0..12 => assert_eq!(text, None, "bit {bit}"),
            16..32 | 82..88 | 120.. => assert_eq!(text.as_ref(), Some(&whole), "bit {bit}"),
            _ => {}
        }
        // Whatever the superblock holds, it adds no word to the table.
        if let Some(text) = text {
            assert_eq!(text.split(char::is_whitespace).count(), 10, "{text}");
        }
    });
    for len in 0..512 {
        let mut cut = good;
        cut[len..].fill(0);
        if let Some(text) = table(&cut) {
            assert!(len > 72, "{len} bytes: {text}");
        }
    }
}
