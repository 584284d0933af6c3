//! Superblocks: which filesystem a device holds, where it ends, and what it is called.
//!
//! Sources: the kernel's fs/ext4/ext4.h, include/uapi/linux/btrfs_tree.h, fs/squashfs/squashfs_fs.h, fs/erofs/erofs_fs.h,
//! fs/xfs/libxfs/xfs_format.h, include/uapi/linux/msdos_fs.h; cryptsetup's verity on-disk format. What is called how is as
//! blkid(8) has it.

use super::{ReadAt, push_uuid, u16_at, u32_at, u64_at};
use crate::text::{Line, push, push_hex, word};

/// What can lie on a device, for mount(2).
const NAMES: &[u8] = b"squashfs erofs ext4 xfs btrfs DM_verity_hash vfat vfat";
const SQUASHFS: usize = 0;
const EROFS: usize = 1;
const EXT4: usize = 2;
const BTRFS: usize = 4;
/// From here on a FAT.
const VFAT32: usize = 6;

/// The two pieces of a device that superblocks lie in, one behind the other.
const FIRST: usize = 2048;
const BOTH: usize = 3072;
type Blocks = [u8; BOTH];
/// Where the second piece lies on the device.
const SECOND_OFFSET: u64 = 65536;

/// Offsets in [`Blocks`]; zero where there is no such field.
struct Format {
    magic: &'static [u8],
    magic_at: u16,
    uuid_at: u16,
    label_at: u16,
    label_len: u16,
}

/// One for each of [`NAMES`].
const FORMATS: [Format; 8] = [
    format(b"hsqs", 0, 0, (0, 0)),
    format(b"\xE2\xE1\xF5\xE0", 1024, 1024 + 48, (1024 + 64, 16)),
    format(b"\x53\xEF", 1024 + 56, 1024 + 104, (1024 + 120, 16)),
    format(b"XFSB", 0, 32, (108, 12)),
    format(b"_BHRfS_M", 2048 + 64, 2048 + 32, (2048 + 299, 256)),
    format(b"verity\0\0", 0, 16, (0, 0)),
    format(b"FAT32   ", 82, 67, (0, 0)),
    format(b"FAT", 54, 39, (0, 0)),
];

const fn format(magic: &'static [u8], magic_at: u16, uuid_at: u16, label: (u16, u16)) -> Format {
    Format {
        magic,
        magic_at,
        uuid_at,
        label_at: label.0,
        label_len: label.1,
    }
}

const INCOMPAT_64BIT: u64 = 0x80;

/// Looks for each superblock in its place.
fn read<R: ReadAt + ?Sized>(device: &R, blocks: &mut Blocks) -> Option<usize> {
    let (first, second) = blocks.split_at_mut(FIRST);
    // A device may be too small for the second.
    device.read_at(0, first)?;
    if device.read_at(SECOND_OFFSET, second).is_none() {
        second.fill(0);
    }
    let is_bootable = u16_at(blocks, 510) == 0xAA55;
    FORMATS.iter().enumerate().find_map(|(kind, format)| {
        let there = blocks.get(format.magic_at.into()..)?;
        let good = kind < VFAT32 || is_bootable;
        (good && there.starts_with(format.magic)).then_some(kind)
    })
}

/// The filesystem on a device, as mount(2) calls it.
pub fn name<R: ReadAt + ?Sized>(device: &R) -> Option<&'static [u8]> {
    Some(word(NAMES, read(device, &mut [0; BOTH])?))
}

/// The size in bytes of the filesystem on a device, rounded up to 4096 as the tools pad it; `None` where its superblock does not
/// tell, or tells nonsense.
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
    units
        .checked_mul(1u64.checked_shl(shift as u32)?)?
        .checked_next_multiple_of(4096)
}

/// Appends what blkid(8) says of a device: `UUID=…`, `LABEL=…` and `TYPE=…`, each with a newline before it, where there is such a
/// thing. The type is the one that mount(2) takes: all of ext2, ext3 and ext4 are `ext4`.
pub fn describe<R: ReadAt + ?Sized>(device: &R, text: &mut Line) {
    let mut blocks = [0; BOTH];
    let Some(kind) = read(device, &mut blocks) else {
        return;
    };
    let Some(format) = FORMATS.get(kind) else {
        return;
    };
    let field = |at: u16, len| blocks.get(at.into()..).unwrap_or_default().get(..len);
    let mut label = field(format.label_at, format.label_len.into()).unwrap_or_default();
    let mut entry = [0; 512];
    if kind < VFAT32 {
        let uuid = field(format.uuid_at, 16).unwrap_or_default();
        if format.uuid_at != 0 && uuid.iter().any(|byte| *byte != 0) {
            push(text, b"\nUUID=");
            push_uuid(text, uuid);
        }
    } else {
        let mut digits = Line::new();
        push_hex(
            &mut digits,
            &u32_at(&blocks, format.uuid_at.into()).to_be_bytes(),
        );
        digits.make_ascii_uppercase();
        let (high, low) = digits.split_at_checked(4).unwrap_or_default();
        push(text, b"\nUUID=");
        push(text, high);
        push(text, b"-");
        push(text, low);
        label = vfat_label(device, &blocks, kind, &mut entry);
    }
    let label = label
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    if !label.is_empty() {
        push(text, b"\nLABEL=");
        for byte in label {
            push(text, &[if *byte < b' ' { b'?' } else { *byte }]);
        }
    }
    push(text, b"\nTYPE=");
    push(text, word(NAMES, kind));
}

/// A FAT's label: the root directory's entry for it, which is among the first. Those of the boot sector are not kept up to date.
fn vfat_label<'a, R: ReadAt + ?Sized>(
    device: &R,
    boot: &Blocks,
    kind: usize,
    sector: &'a mut [u8; 512],
) -> &'a [u8] {
    let byte = |at| u64::from(u16_at(boot, at) as u8);
    let mut fat_sectors = u64::from(u16_at(boot, 22));
    let mut cluster = 0;
    if kind == VFAT32 {
        fat_sectors = u32_at(boot, 36).into();
        cluster = u64::from(u32_at(boot, 44).wrapping_sub(2)).wrapping_mul(byte(13));
    }
    let root = (byte(16).wrapping_mul(fat_sectors))
        .wrapping_add(cluster)
        .wrapping_add(u16_at(boot, 14).into())
        .wrapping_mul(u16_at(boot, 11).into());
    if device.read_at(root, sector).is_none() {
        return b"";
    }
    // Attributes: a volume's label, and neither a folder nor a part of a long name.
    let is_label =
        |entry: &&[u8; 32]| entry[11] & 0x18 == 8 && entry[11] != 0xF && entry[0] != 0xE5;
    let used = sector.as_chunks::<32>().0.iter();
    used.take_while(|entry| entry[0] != 0)
        .find(is_label)
        .and_then(|entry| entry.get(..11))
        .unwrap_or_default()
}
