//! What the words of a command line mean: device specifications, options, mount flags, uevents.

use proptest::prelude::*;
use rustix::mount::MountFlags;
use toehold::failure::Stage;
use toehold::format::plan::{Key, Plan};
use toehold::format::{gpt, mount_options, uevent};
use toehold::options::{Options, Word};
use toehold::spec::{Match, Spec};
use toehold::text::Line;

use crate::samples::plan;

fn spec(text: &[u8]) -> Option<Spec<'_>> {
    let mut spec = Spec::none();
    spec.read(text).map(|()| spec)
}

/// The entry of a GPT that a label names, if one can.
fn units(label: &[u8]) -> Option<Vec<u8>> {
    let label = str::from_utf8(label)
        .ok()
        .filter(|label| !label.is_empty())?;
    let mut units: Vec<u8> = label.encode_utf16().flat_map(u16::to_le_bytes).collect();
    if units.len() < gpt::NAME_LEN {
        units.extend([0, 0]);
    }
    (units.len() <= gpt::NAME_LEN).then_some(units)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn guids(bytes in any::<[u8; 16]>(), upper in any::<bool>()) {
        let guid = uuid::Uuid::from_bytes(bytes).hyphenated().to_string();
        let guid = if upper { guid.to_uppercase() } else { guid };
        let text = format!("PARTUUID={guid}");
        let spec = spec(text.as_bytes()).unwrap();
        prop_assert_eq!(&spec.field.bytes[..], uuid::Uuid::from_bytes(bytes).to_bytes_le());
        prop_assert_eq!(spec.field.offset, gpt::GUID);
        let event = format!("PARTN=1\nPARTUUID={}\n", guid.to_lowercase());
        prop_assert_eq!(spec.matches(event.as_bytes()), Match::Yes);
    }

    #[test]
    fn labels(label in "\\PC{0,40}") {
        let text = [b"PARTLABEL=", label.as_bytes()].concat();
        prop_assert_eq!(spec(&text).map(|spec| spec.field.bytes.to_vec()), units(label.as_bytes()));
    }

    /// Bytes near to UTF-8: leading and continuation bytes in any order.
    #[test]
    fn labels_that_are_no_text(label in prop::collection::vec(prop_oneof![Just(b'a'), 0x80u8..], 1..6)) {
        let text = [b"PARTLABEL=", &label[..]].concat();
        prop_assert_eq!(spec(&text).map(|spec| spec.field.bytes.to_vec()), units(&label));
    }
}

/// Every first byte of a sequence, every kind of second byte: no overlong forms, surrogates, or codes beyond U+10FFFF.
#[test]
fn labels_at_the_edges_of_utf8() {
    for first in 0x80..=0xFF {
        for second in [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0] {
            for len in 1..=6 {
                let mut label = vec![first, second, 0x80, 0xBF, 0x80, 0x80];
                label.truncate(len);
                let text = [b"PARTLABEL=", &label[..]].concat();
                let found = spec(&text).map(|spec| spec.field.bytes.to_vec());
                assert_eq!(found, units(&label), "{label:x?}");
            }
        }
    }
}

#[test]
fn nodes_match_whole() {
    let spec = spec(b"/dev/block/by-x/y").unwrap();
    assert_eq!(spec.text.unwrap(), b"/dev/block/by-x/y");
    assert_eq!(spec.matches(b"DEVNAME=block/by-x/y\0"), Match::Yes);
    assert_eq!(spec.matches(b"DEVNAME=block/by-x\0"), Match::No);
    assert_eq!(spec.matches(b"XDEVNAME=block/by-x/y\0"), Match::No);
    assert_eq!(spec.matches(b""), Match::No);
    // Links that udev would make: refused at once instead of awaited in vain.
    assert!(self::spec(b"/dev/disk/by-partlabel/USR-A").is_none());
}

fn read(line: &str, extra: &[u8]) -> Result<Options, (Stage, &'static [u8])> {
    let plan = Plan::parse(plan(b"", b"", extra).leak()).map_err(|why| format!("{why:?}"));
    let mut options = Options::none();
    let mut stage = Stage::KernelFs;
    let line = line.to_owned().leak().as_bytes();
    match options.read(line, &plan.unwrap(), &mut stage) {
        Ok(()) => Ok(options),
        Err(word) => Err((stage, word.name())),
    }
}

#[test]
fn the_last_word_counts() {
    // Both names of a word are one word; a name without a value, and what stands behind `--`, says nothing.
    let line = "mount.usr=/dev/a usrfstype=xfs mount.usrfstype=ext4 usrflags=ro usr=/dev/b mount.usr usr \
                mount.usrflags=\"noatime,context=a b\" rd.earlytimeout=1 rd.earlytimeout=0 quiet usr2=/dev/c \
                Usr=/dev/d -- usr=/dev/e";
    let options = read(line, b"").ok().unwrap();
    assert_eq!(options.device.text.unwrap(), b"/dev/b");
    assert_eq!(options.value(Word::Mount, b""), b"/dev/b");
    assert_eq!(options.value(Word::Fstype, b"auto"), b"ext4");
    assert_eq!(
        options.value(Word::MountOptions, b"ro"),
        b"noatime,context=a b"
    );
    assert_eq!(options.timeout, 0);
}

#[test]
fn timeouts() {
    for (text, want) in [
        ("0", Some(0)),
        ("300", Some(300)),
        ("18446744073709551615", Some(u64::MAX)),
    ] {
        let options = read(&format!("usr=/dev/a rd.earlytimeout={text}"), b"");
        assert_eq!(options.ok().map(|options| options.timeout), want);
    }
    for text in ["", "-1", "1.5", "1s", "0x10", "18446744073709551616"] {
        let refused = read(&format!("usr=/dev/a rd.earlytimeout={text}"), b"").err();
        assert_eq!(
            refused,
            Some((Stage::Device, &b"rd.earlytimeout"[..])),
            "{text}"
        );
    }
}

#[test]
fn the_verified_device_by_the_name_of_the_profile() {
    // The plan's name is `usr`; another device below /dev/mapper is another device.
    let verity = "verity.usr=/dev/a verity.usrhash=00";
    assert!(read(&format!("{verity} usr=/dev/mapper/usr"), b"").is_ok());
    for other in [
        "/dev/mapper/us",
        "/dev/mapper/usr/",
        "/dev/mapper/",
        "/dev/dm-0",
        "mapper/usr",
        "",
    ] {
        let refused = read(&format!("{verity} usr={other}"), b"").err();
        assert_eq!(refused, Some((Stage::Verity, &b"mount.usr"[..])), "{other}");
    }
    // Where the profile asks for it, nothing is mounted without a root hash.
    let required = &[Key::VerityRequired as u8, 0];
    for line in [
        "",
        "usr=/dev/a",
        "usr=/dev/a verity.usrhash=0",
        "\"verity.usrhash 00\" verity.usr=/dev/a",
    ] {
        let refused = read(line, required).err();
        assert_eq!(
            refused,
            Some((Stage::Verity, &b"verity.usrhash"[..])),
            "{line}"
        );
    }
}

#[test]
fn every_mount_flag() {
    for (name, want) in [
        ("ro", MountFlags::RDONLY),
        ("rw", MountFlags::empty()),
        ("defaults", MountFlags::empty()),
        ("nosuid", MountFlags::NOSUID),
        ("nodev", MountFlags::NODEV),
        ("noexec", MountFlags::NOEXEC),
        ("sync", MountFlags::SYNCHRONOUS),
        ("dirsync", MountFlags::DIRSYNC),
        ("noatime", MountFlags::NOATIME),
        ("nodiratime", MountFlags::NODIRATIME),
        ("relatime", MountFlags::RELATIME),
        ("strictatime", MountFlags::STRICTATIME),
    ] {
        let mut data = Line::new();
        assert_eq!(
            mount_options::split(name.as_bytes(), &mut data),
            want,
            "{name}"
        );
        assert_eq!(data, b"");
        // The same with a letter more is the filesystem's.
        let longer = format!("{name}x,y={name}");
        assert_eq!(
            mount_options::split(longer.as_bytes(), &mut data),
            MountFlags::empty()
        );
        assert_eq!(data, longer.as_bytes());
    }
    let mut data = Line::new();
    mount_options::add(&mut data, b"");
    mount_options::add(&mut data, b"a");
    mount_options::add(&mut data, b"");
    mount_options::add(&mut data, b"b");
    assert_eq!(data, b"a,b");
}

#[test]
fn uevent_fields_are_exact() {
    let event =
        b"add@/devices/x\0ACTION=add\0DEVNAME=vda\0DEVNAME=vdb\0MAJOR=\0MINOR=07\0PARTN=-1\0";
    assert_eq!(uevent::value(event, b"DEVNAME"), b"vda");
    assert_eq!(uevent::value(event, b"NAME"), b"");
    assert_eq!(uevent::value(event, b""), b"");
    assert_eq!(uevent::number(event, b"MINOR"), 7);
    assert_eq!(uevent::number(event, b"MAJOR"), uevent::NONE);
    assert_eq!(uevent::number(event, b"PARTN"), uevent::NONE);
}
