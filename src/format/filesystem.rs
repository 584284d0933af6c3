//! Superblocks: which filesystem a device holds, where it ends, and what it is called.
//!
//! Sources: the kernel's fs/ext4/ext4.h, include/uapi/linux/btrfs_tree.h,
//! fs/squashfs/squashfs_fs.h, fs/erofs/erofs_fs.h, fs/xfs/libxfs/xfs_format.h,
//! include/uapi/linux/msdos_fs.h; cryptsetup's verity on-disk format. What is called how is as
//! blkid(8) has it.

use super::{IN_ORDER, ReadAt, push_uuid, u32_at, u64_at};
use crate::text::{Line, push, push_line, split, word};

/// What can lie on a device, for mount(2).
const NAMES: &[u8] = b"squashfs erofs ext4 xfs btrfs DM_verity_hash vfat vfat";
const SQUASHFS: usize = 0;
const EROFS: usize = 1;
const EXT4: usize = 2;
const BTRFS: usize = 4;
/// The first of the two kinds of FAT, FAT32; behind it are FAT12 and FAT16.
const VFAT32: usize = 6;

/// Superblocks lie in two pieces of a device. Both are read into one buffer, the second one behind
/// the first: where the first ends there, and where the second does.
const FIRST: usize = 2048;
const BOTH: usize = 3072;
/// How the four bytes of a FAT's serial number are written.
const SERIAL_ORDER: &[u8] = b"\x03\x02-\x01\0";

type Blocks = [u8; BOTH];
/// Where the second piece lies on the device.
const SECOND_OFFSET: u64 = 65536;

/// Where the fields of a superblock are, as offsets in [`Blocks`]; zero where there is no such
/// field.
struct Format {
    /// The first four bytes of its magic number.
    magic: u32,
    magic_at: u16,
    uuid_at: u16,
    label_at: u16,
    label_len: u16,
}

/// One for each of [`NAMES`].
const FORMATS: [Format; 8] = [
    format(b"hsqs", 0, 0, (0, 0)),
    format(b"\xE2\xE1\xF5\xE0", 1024, 1024 + 48, (1024 + 64, 16)),
    // This magic number has two bytes only: [`read`] compares no more of it.
    format(b"\x53\xEF\0\0", 1024 + 56, 1024 + 104, (1024 + 120, 16)),
    format(b"XFSB", 0, 32, (108, 12)),
    format(b"_BHR", 2048 + 64, 2048 + 32, (2048 + 299, 256)),
    format(b"veri", 0, 16, (0, 0)),
    format(b"FAT3", 82, 67, (71, 11)),
    format(b"FAT1", 54, 39, (43, 11)),
];

const fn format(magic: &[u8; 4], magic_at: u16, uuid_at: u16, label: (u16, u16)) -> Format {
    Format {
        magic: u32::from_le_bytes(*magic),
        magic_at,
        uuid_at,
        label_at: label.0,
        label_len: label.1,
    }
}

const INCOMPAT_64BIT: u64 = 0x80;

/// Reads both pieces, and returns the kind of the superblock in them.
fn read<R: ReadAt + ?Sized>(device: &R, blocks: &mut Blocks) -> Option<usize> {
    let (first, second) = blocks.split_at_mut(FIRST);
    // A device may be too small for the second.
    device.read_at(0, first)?;
    if device.read_at(SECOND_OFFSET, second).is_none() {
        second.fill(0);
    }
    for (kind, format) in FORMATS.iter().enumerate() {
        let mut magic = u32_at(blocks, format.magic_at.into());
        if kind == EXT4 {
            magic &= 0xFFFF;
        }
        if magic == format.magic {
            return Some(kind);
        }
    }
    None
}

/// The filesystem on a device, as mount(2) calls it.
pub fn name<R: ReadAt + ?Sized>(device: &R) -> Option<&'static [u8]> {
    Some(word(NAMES, read(device, &mut [0; BOTH])?))
}

/// The size in bytes of the filesystem on a device, rounded up to 4096 as the tools pad it; `None`
/// where its superblock does not tell, or tells nonsense.
pub fn size<R: ReadAt + ?Sized>(device: &R) -> Option<u64> {
    let mut blocks = [0; BOTH];
    let kind = read(device, &mut blocks)?;
    let number = |offset| u64::from(u32_at(&blocks, offset));
    let (units, shift) = match kind {
        SQUASHFS => (u64_at(&blocks, 40), 0),
        EROFS => (number(1024 + 36), number(1024 + 12) & 0xFF),
        BTRFS => (u64_at(&blocks, 2048 + 112), 0),
        EXT4 => {
            let high = if number(1024 + 96) & INCOMPAT_64BIT != 0 {
                number(1024 + 336)
            } else {
                0
            };
            (high << 32 | number(1024 + 4), number(1024 + 24) + 10)
        }
        _ => return None,
    };
    let bytes = units.checked_mul(1u64.checked_shl(shift as u32)?)?;
    Some(bytes.checked_add(4095)? & !4095)
}

/// Appends what blkid(8) says of a device: `UUID=…`, `LABEL=…` and `TYPE=…`, each with a newline
/// before it, where there is such a thing. The type is the one that mount(2) takes: all of ext2,
/// ext3 and ext4 are `ext4`. A FAT's label is the boot sector's, its digits are lower case.
pub fn describe<R: ReadAt + ?Sized>(device: &R, text: &mut Line) {
    let mut blocks = [0; BOTH];
    let Some(kind) = read(device, &mut blocks) else {
        return;
    };
    let Some(format) = FORMATS.get(kind) else {
        return;
    };
    let field = |at: u16, len: u16| {
        let bytes = blocks.get(at.into()..).unwrap_or_default();
        bytes.get(..len.into()).unwrap_or_default()
    };
    let (len, order) = match kind {
        VFAT32.. => (4, SERIAL_ORDER),
        _ => (16, IN_ORDER),
    };
    let uuid = field(format.uuid_at, len);
    if format.uuid_at != 0 && uuid.iter().any(|byte| *byte != 0) {
        push(text, b"\nUUID=");
        push_uuid(text, uuid, order);
    }
    let label = field(format.label_at, format.label_len);
    let label = split(label, 0).next().unwrap_or_default();
    let label = label.trim_ascii_end();
    if !label.is_empty() && label != b"NO NAME" {
        push(text, b"\nLABEL=");
        push_line(text, label);
    }
    push(text, b"\nTYPE=");
    push(text, word(NAMES, kind));
}
