//! Superblocks of filesystems: what is said of them is said in its place, and no size wraps around.

use toehold::format::{ReadAt, filesystem};
use toehold::text::Line;

use crate::target::{Target, assert_facts};

/// Bytes of the beginning of a device, behind which those from [`SECOND`] on follow in an input.
const FIRST: usize = 2048;
const SECOND: u64 = 65536;

/// A device that is zero where an input says nothing.
struct Device<'a>(&'a [u8]);

impl ReadAt for Device<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let (first, second) = self.0.split_at_checked(FIRST).unwrap_or((self.0, b""));
        if offset.checked_add(buffer.len() as u64)? > self.size() {
            return None;
        }
        for (byte, at) in buffer.iter_mut().zip(offset..) {
            let there = match at.checked_sub(SECOND) {
                Some(at) => second.get(at as usize),
                None => first.get(at as usize),
            };
            *byte = there.copied().unwrap_or(0);
        }
        Some(())
    }
}

impl Device<'_> {
    fn size(&self) -> u64 {
        match self.0.len().checked_sub(FIRST) {
            Some(second) => SECOND + second as u64,
            None => self.0.len() as u64,
        }
    }
}

fn input(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; FIRST + 1024];
    for (offset, part) in parts {
        bytes[*offset..*offset + part.len()].copy_from_slice(part);
    }
    bytes
}

const UUID: [u8; 16] = *b"0123456789abcdef";

pub const FILESYSTEM: Target = Target {
    name: "filesystem",
    seeds: || {
        vec![
            squashfs(6690),
            erofs(7, 12),
            ext4(9, 2),
            btrfs(1 << 27),
            input(&[(0, b"XFSB"), (32, &UUID), (108, b"toehold usr\0")]),
            input(&[(0, b"verity\0\0\x01"), (16, &UUID)]),
            fat(&[
                (82, b"FAT32   "),
                (67, b"\x01\x02\x03\x04"),
                (71, b"TOEHOLD    "),
            ]),
            fat(&[
                (54, b"FAT16   "),
                (39, b"\x01\x02\x03\x04"),
                (43, b"NO NAME    "),
            ]),
        ]
    },
    fields: &[
        (40, 8),
        (1024 + 4, 4),
        (1024 + 12, 1),
        (1024 + 24, 4),
        (1024 + 36, 4),
        (1024 + 56, 2),
        (1024 + 96, 4),
        (1024 + 336, 4),
        (1024 + 120, 8),
        (FIRST + 112, 8),
        (FIRST + 299, 8),
        (11, 2),
        (13, 1),
        (14, 2),
        (22, 2),
        (36, 4),
        (44, 4),
        (510, 2),
    ],
    words: &[],
    seal: |_| {},
    check,
};

fn squashfs(bytes: u64) -> Vec<u8> {
    input(&[(0, b"hsqs"), (40, &bytes.to_le_bytes())])
}

fn erofs(blocks: u32, shift: u8) -> Vec<u8> {
    input(&[
        (1024, b"\xE2\xE1\xF5\xE0"),
        (1024 + 12, &[shift]),
        (1024 + 36, &blocks.to_le_bytes()),
        (1024 + 48, &UUID),
        (1024 + 64, b"label"),
    ])
}

fn ext4(blocks: u64, shift: u8) -> Vec<u8> {
    input(&[
        (1024 + 4, &(blocks as u32).to_le_bytes()),
        (1024 + 24, &[shift]),
        (1024 + 56, b"\x53\xEF"),
        // 64bit, and others.
        (1024 + 96, &[0xC2]),
        (1024 + 104, &UUID),
        (1024 + 120, b"toehold-usr"),
        (1024 + 336, &((blocks >> 32) as u32).to_le_bytes()),
    ])
}

fn btrfs(bytes: u64) -> Vec<u8> {
    input(&[
        (FIRST + 32, &UUID),
        (FIRST + 64, b"_BHRfS_M"),
        (FIRST + 112, &bytes.to_le_bytes()),
        (FIRST + 299, b"label with blanks"),
    ])
}

fn fat(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let bytes = input(parts);
    let mut bytes = bytes;
    bytes[510..512].copy_from_slice(b"\x55\xAA");
    bytes
}

const NAMES: [&str; 7] = [
    "squashfs",
    "erofs",
    "ext4",
    "xfs",
    "btrfs",
    "DM_verity_hash",
    "vfat",
];

fn check(bytes: &[u8]) {
    let device = Device(bytes);
    let name = filesystem::name(&device);
    let size = filesystem::size(&device);
    assert!(size.is_none_or(|size| size % 4096 == 0), "{size:?}");
    let mut text = Line::new();
    filesystem::describe(&device, &mut text);
    assert_facts(&text, &["UUID", "LABEL", "TYPE"]);
    match name {
        Some(name) => {
            let name = str::from_utf8(name).expect("a name");
            assert!(NAMES.contains(&name), "{name}");
            let said = format!("\nTYPE={name}");
            assert!(text.ends_with(said.as_bytes()), "{}", text.escape_ascii());
        }
        None => assert!(size.is_none() && text.is_empty()),
    }
}

/// Sizes that no device has are refused, not wrapped around to small ones.
#[test]
fn sizes_beyond_64_bits() {
    for blocks in [
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
        for shift in 0..=255u8 {
            let low = u64::from(blocks as u32);
            for (bytes, blocks, shift) in [
                (erofs(blocks as u32, shift), low, u32::from(shift)),
                (ext4(blocks, shift), blocks, u32::from(shift) + 10),
            ] {
                let size = |shift: u32| (u128::from(blocks) << shift).next_multiple_of(4096);
                let want = Some(shift).filter(|shift| *shift < 64).map(size);
                let want = want.and_then(|size| u64::try_from(size).ok());
                let found = filesystem::size(&Device(&bytes));
                assert_eq!(found, want, "{blocks} << {shift}");
            }
        }
    }
}
