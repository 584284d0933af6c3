//! Filesystems made by the real mkfs: their type, and their size as their own tools tell it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use toehold::format::ReadAt;
use toehold::format::filesystem::{name, size};

use crate::tools::{field, run};

/// A sparse image, read where it is looked at.
pub struct Image(pub File);

impl ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        self.0.read_exact_at(buffer, offset).ok()
    }
}

/// A folder for images, with another one to make them from.
pub fn room() -> (tempfile::TempDir, PathBuf, String) {
    let room = tempfile::tempdir().unwrap();
    let source = room.path().join("source");
    fs::create_dir(&source).unwrap();
    // Text that compresses to something that is no multiple of 4096.
    let text: String = (0..9000).map(|number| format!("{number}\n")).collect();
    fs::write(source.join("numbers"), text).unwrap();
    let image = room.path().join("image").to_str().unwrap().to_owned();
    (room, source, image)
}

fn expect(image: &str, filesystem: &str, bytes: u64) {
    let image = Image(File::open(image).unwrap());
    assert_eq!(name(&image), Some(filesystem.as_bytes()));
    assert_eq!(size(&image), Some(bytes.next_multiple_of(4096)), "{bytes}");
}

fn number(text: &str, name: &str) -> u64 {
    let words = field(text, name);
    let first = words.split_whitespace().next().unwrap();
    first.parse().unwrap_or_else(|_| panic!("{name} {words}"))
}

#[test]
fn ext4() {
    let (_room, _, image) = room();
    // The number of 1 KiB blocks makes a size that has to be rounded up.
    for (block, blocks) in [
        ("1024", 8191),
        ("2048", 4097),
        ("4096", 5000),
        ("65536", 100),
    ] {
        for features in ["64bit", "^64bit,^metadata_csum"] {
            // As long as it needs to be, and longer: the size is the filesystem's, not the file's.
            let bytes = block.parse::<u64>().unwrap() * blocks;
            File::create(&image).unwrap().set_len(bytes * 2).unwrap();
            let blocks = blocks.to_string();
            run(
                "e2fsprogs",
                "mkfs.ext4",
                &["-q", "-F", "-b", block, "-O", features, &image, &blocks],
            );
            let dump = run("e2fsprogs", "dumpe2fs", &["-h", &image]);
            let size = number(&dump, "Block count:") * number(&dump, "Block size:");
            assert_eq!(size, bytes);
            let has = field(&dump, "Filesystem features:")
                .split(' ')
                .any(|name| name == "64bit");
            assert_eq!(has, features == "64bit");
            expect(&image, "ext4", size);
        }
    }
}

/// More blocks than 32 bits can count: the other half of the number.
#[test]
fn ext4_of_16_tib_and_more() {
    let (_room, _, image) = room();
    let blocks = (1u64 << 32) + 5;
    let mut block = [0; 2048];
    for (offset, bytes) in [
        (4, &5u32.to_le_bytes()[..]),
        (24, &2u32.to_le_bytes()),
        (56, &0xEF53u16.to_le_bytes()),
        (96, &0x2C2u32.to_le_bytes()),
        (336, &1u32.to_le_bytes()),
    ] {
        block[1024 + offset..][..bytes.len()].copy_from_slice(bytes);
    }
    fs::write(&image, block).unwrap();
    expect(&image, "ext4", blocks * 4096);
    // Without the feature, that half is not part of the number.
    block[1024 + 96] = 0x42;
    fs::write(&image, block).unwrap();
    expect(&image, "ext4", 5 * 4096);
}

#[test]
fn btrfs() {
    let (_room, source, image) = room();
    for bytes in [128 << 20, (130 << 20) + 4096] {
        File::create(&image).unwrap().set_len(bytes).unwrap();
        let source = source.to_str().unwrap();
        run(
            "btrfs-progs",
            "mkfs.btrfs",
            &["-q", "-f", "--rootdir", source, &image],
        );
        let dump = run(
            "btrfs-progs",
            "btrfs",
            &["inspect-internal", "dump-super", &image],
        );
        expect(&image, "btrfs", number(&dump, "total_bytes"));
    }
}

#[test]
fn squashfs() {
    let (_room, source, image) = room();
    let source = source.to_str().unwrap();
    for padding in ["-nopad", "-no-progress"] {
        run(
            "squashfs-tools",
            "mksquashfs",
            &[source, &image, "-noappend", "-quiet", padding],
        );
        let dump = run("squashfs-tools", "unsquashfs", &["-s", &image]);
        let size = number(&dump, "Filesystem size");
        assert_ne!(size % 4096, 0, "nothing to be rounded up");
        expect(&image, "squashfs", size);
    }
}

#[test]
fn erofs() {
    let (_room, source, image) = room();
    let source = source.to_str().unwrap();
    for compression in [&["--quiet"][..], &["--quiet", "-zlz4"]] {
        run(
            "erofs-utils",
            "mkfs.erofs",
            &[compression, &[&image, source]].concat(),
        );
        let dump = run("erofs-utils", "dump.erofs", &["-s", &image]);
        expect(&image, "erofs", number(&dump, "Filesystem blocks:") * 4096);
        assert_eq!(Path::new(&image).metadata().unwrap().len() % 4096, 0);
    }
}

#[test]
fn nothing_known() {
    let mut image = vec![0; 70_000];
    assert_eq!(name(&image[..]), None);
    assert_eq!(name(&image[..0]), None);
    // One whose size is not told.
    image[..4].copy_from_slice(b"XFSB");
    assert_eq!(
        (name(&image[..]), size(&image[..])),
        (Some(&b"xfs"[..]), None)
    );
    image[..4].fill(0);
    // Each magic, one byte aside.
    for (offset, magic) in [
        (1, &b"hsqs"[..]),
        (1, b"XFSB"),
        (1, b"verity\0\0"),
        (1025, b"\xE2\xE1\xF5\xE0"),
        (1024 + 57, b"\x53\xEF"),
        (65536 + 65, b"_BHRfS_M"),
        (55, b"FAT16   "),
        (83, b"FAT32   "),
    ] {
        let mut image = image.clone();
        image[offset..offset + magic.len()].copy_from_slice(magic);
        assert_eq!(name(&image[..]), None, "{offset}");
    }
}
