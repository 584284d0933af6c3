//! blkid as the oracle of what filesystems are called, on images made by every mkfs that there is a reader for.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use toehold::format::filesystem::{describe, name};
use toehold::text::Line;

use crate::filesystem::{Image, room};
use crate::tools::{blkid, run};

const UUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// What the library says of an image.
fn told(image: &str) -> String {
    let mut text = Line::new();
    describe(&Image(File::open(image).unwrap()), &mut text);
    String::from_utf8(text.to_vec()).unwrap()
}

/// Both say the same, which is of a `kind`, and has the tags `UUID` and `LABEL` as told.
fn same(image: &str, kind: &str, uuid: bool, label: Option<&str>) {
    let tags = blkid(image);
    assert_eq!(tags.get("TYPE").map(String::as_str), Some(kind), "{tags:?}");
    assert_eq!(tags.contains_key("UUID"), uuid, "{tags:?}");
    assert_eq!(tags.get("LABEL").map(String::as_str), label, "{tags:?}");
    // One driver mounts all three.
    let kind = if kind.starts_with("ext") {
        "ext4"
    } else {
        kind
    };
    let mut want = String::new();
    for tag in ["UUID", "LABEL"] {
        if let Some(value) = tags.get(tag) {
            want += &format!("\n{tag}={value}");
        }
    }
    want += &format!("\nTYPE={kind}");
    // UUIDs are compared without regard to case.
    if kind == "vfat" {
        want = want.replace("UUID=0A1B-2C3D", "UUID=0a1b-2c3d");
    }
    assert_eq!(told(image), want);
    let found = name(&Image(File::open(image).unwrap()));
    assert_eq!(found, Some(kind.as_bytes()));
}

/// An image of nothing, so many MiB long.
fn blank(image: &str, mebibytes: u64) {
    let file = File::create(image).unwrap();
    file.set_len(mebibytes << 20).unwrap();
}

#[test]
fn ext2_ext3_ext4() {
    let (_room, source, image) = room();
    let source = source.to_str().unwrap();
    for kind in ["ext2", "ext3", "ext4"] {
        for (uuid, label) in [
            (UUID, "usr-a"),
            (UUID, "sixteen bytes, 1"),
            (UUID, "größe 💾"),
            (UUID, " a \\\"$'`<b>"),
            ("random", ""),
            ("clear", "x"),
        ] {
            blank(&image, 8);
            let options = [
                "-q", "-F", "-t", kind, "-U", uuid, "-L", label, "-d", source,
            ];
            run("e2fsprogs", "mke2fs", &[&options[..], &[&image]].concat());
            let label = Some(label).filter(|label| !label.is_empty());
            same(&image, kind, uuid != "clear", label);
        }
    }
}

#[test]
fn btrfs() {
    let (_room, _, image) = room();
    // What blkid prints of longer ones is cut.
    let long = "l".repeat(250);
    for (uuid, label) in [
        (&["--uuid", UUID][..], Some("usr a")),
        (&[], Some(long.as_str())),
        (&[], None),
    ] {
        blank(&image, 128);
        let label_options: Vec<&str> = label.iter().flat_map(|label| ["--label", label]).collect();
        let options = [&["-q", "-f"], uuid, &label_options, &[&image]].concat();
        run("btrfs-progs", "mkfs.btrfs", &options);
        same(&image, "btrfs", true, label);
    }
}

#[test]
fn xfs() {
    let (_room, _, image) = room();
    for (uuid, label) in [
        (format!("uuid={UUID}"), Some("twelve bytes")),
        ("crc=0".to_owned(), Some("a")),
        ("crc=1".to_owned(), None),
    ] {
        blank(&image, 320);
        let label_options: Vec<&str> = label.iter().flat_map(|label| ["-L", label]).collect();
        let options = [&["-q", "-f", "-m", &uuid][..], &label_options, &[&image]].concat();
        run("xfsprogs", "mkfs.xfs", &options);
        same(&image, "xfs", true, label);
    }
}

#[test]
fn vfat() {
    let (_room, _, image) = room();
    for (bits, mebibytes) in [("12", 4), ("16", 32), ("32", 64)] {
        for sector in ["512", "4096"] {
            for (label, want) in [
                (&["-n", "EFI SYSTEM"][..], Some("EFI SYSTEM")),
                (&["-n", "ELEVEN BYTE"], Some("ELEVEN BYTE")),
                (&[], None),
            ] {
                blank(&image, mebibytes * if sector == "512" { 1 } else { 8 });
                let options = ["-F", bits, "-S", sector, "-i", "0A1B2C3D"];
                let options = [&options[..], label, &[&image]].concat();
                run("dosfstools", "mkfs.vfat", &options);
                same(&image, "vfat", true, want);
            }
        }
    }
}

/// blkid prefers the label in the root directory, which systems that rename a FAT may change alone. The library reads the boot
/// sector only: what mkfs.vfat wrote.
#[test]
fn vfat_that_was_renamed() {
    let (_room, _, image) = room();
    for (bits, mebibytes, copy) in [("12", 4, 43), ("16", 32, 43), ("32", 64, 71)] {
        blank(&image, mebibytes);
        run(
            "dosfstools",
            "mkfs.vfat",
            &["-F", bits, "-n", "NEW", &image],
        );
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(b"OLD", copy).unwrap();
        assert_eq!(blkid(&image)["LABEL"], "NEW");
        assert!(told(&image).contains("\nLABEL=OLD\n"));
    }
}

#[test]
fn erofs() {
    let (_room, source, image) = room();
    let source = source.to_str().unwrap();
    run(
        "erofs-utils",
        "mkfs.erofs",
        &["--quiet", &format!("-U{UUID}"), &image, source],
    );
    same(&image, "erofs", true, None);
    // What later versions of mkfs.erofs do for `-L`; the superblock then needs its checksum, or no word that it has one.
    let file = File::options().write(true).open(&image).unwrap();
    file.write_all_at(b"sixteen bytes, 1", 1024 + 64).unwrap();
    file.write_all_at(&[0; 4], 1024 + 8).unwrap();
    same(&image, "erofs", true, Some("sixteen bytes, 1"));
}

#[test]
fn squashfs() {
    let (_room, source, image) = room();
    let source = source.to_str().unwrap();
    run(
        "squashfs-tools",
        "mksquashfs",
        &[source, &image, "-quiet", "-no-progress"],
    );
    same(&image, "squashfs", false, None);
}

#[test]
fn verity() {
    let (_room, _, image) = room();
    let data = format!("{image}.data");
    fs::write(&data, [7; 8192]).unwrap();
    for uuid in [UUID, NO_UUID] {
        // The tree of two blocks is one; this is more than what is looked at.
        blank(&image, 1);
        let uuid_option = format!("--uuid={uuid}");
        run(
            "cryptsetup-bin",
            "veritysetup",
            &["format", &data, &image, &uuid_option],
        );
        same(&image, "DM_verity_hash", uuid != NO_UUID, None);
    }
}

/// A label that would be another field if its newline stayed one.
#[test]
fn labels_are_one_line() {
    let (_room, _, image) = room();
    for (magic_at, magic, label_at) in [
        (1024 + 56, &b"\x53\xEF"[..], 1024 + 120),
        (1024, b"\xE2\xE1\xF5\xE0", 1024 + 64),
        (0, b"XFSB", 108),
        (65536 + 64, b"_BHRfS_M", 65536 + 299),
    ] {
        blank(&image, 1);
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(magic, magic_at).unwrap();
        file.write_all_at(b"\nUUID=1\t\x1b", label_at).unwrap();
        let text = told(&image);
        let label = text.lines().nth(1);
        assert_eq!(label, Some("LABEL=?UUID=1??"), "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text:?}");
    }
}

/// An image that has nothing, or nothing known.
#[test]
fn nothing() {
    let (_room, _, image) = room();
    blank(&image, 1);
    assert!(!blkid(&image).contains_key("TYPE"));
    assert_eq!(told(&image), "");
    run("util-linux", "mkswap", &[&image]);
    assert_eq!(blkid(&image)["TYPE"], "swap");
    assert_eq!(told(&image), "");
}
