//! What the words of a command line mean: device specifications, options, mount flags, uevents.

use proptest::prelude::*;
use rustix::mount::MountFlags;
use toehold::asked::Word;
use toehold::failure::Stage;
use toehold::format::plan::{Key, Plan};
use toehold::format::{mount_options, uevent};
use toehold::request::{Request, Role};
use toehold::spec::{Facts, Spec};
use toehold::text::Line;

use crate::target::line;
use toehold_samples::layouts::plan;

fn spec(text: &[u8]) -> Option<Spec> {
    let mut spec = Spec::NONE;
    spec.read(text).map(|()| spec)
}

/// Whether a device is meant of which the kernel and what was read say the same.
fn says(spec: &Spec, fields: &[u8]) -> bool {
    let facts = Facts {
        event: &line(fields),
        read: line(fields),
    };
    spec.matches(spec.needs(facts.event), &facts)
}

fn is(text: &str, fields: &str) -> bool {
    says(&spec(text.as_bytes()).expect(text), fields.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// UUIDs compare without regard to case, and whole.
    #[test]
    fn uuids(bytes in any::<[u8; 16]>(), upper in any::<bool>(), flipped in 0..128usize) {
        let guid = uuid::Uuid::from_bytes(bytes).hyphenated().to_string();
        let text = if upper { guid.to_uppercase() } else { guid.clone() };
        let mut other = bytes;
        other[flipped / 8] ^= 1 << (flipped % 8);
        let other = uuid::Uuid::from_bytes(other);
        for (spec, key) in [
            (format!("PARTUUID={text}"), "PARTUUID"),
            (format!("/dev/disk/by-partuuid/{text}"), "PARTUUID"),
            (format!("UUID={text}"), "UUID"),
            (format!("/dev/disk/by-uuid/{text}"), "UUID"),
        ] {
            let told = format!("PARTN=1\n{key}={guid}\n");
            prop_assert!(is(&spec, &told));
            let told = format!("PARTN=1\n{key}={other}\n");
            prop_assert!(!is(&spec, &told));
        }
    }

    /// Labels compare exactly, in SPECs and as udev spells them in the names of links.
    #[test]
    fn labels(label in "\\PC{1,40}", other in "\\PC{1,40}") {
        // What udev leaves as it is: some ASCII, and all other characters.
        let link: String = label
            .chars()
            .map(|one| match one {
                one if !one.is_ascii() || one.is_ascii_alphanumeric() || "#+-.:=@_".contains(one) => one.to_string(),
                one => format!("\\x{:02x}", one as u32),
            })
            .collect();
        // A quote at the beginning is one that something stands in, and what looks like an escape is one.
        let escaped = label.replace("\\x", "\\x5cx");
        let written = match label.chars().next() {
            Some('"') => format!("'{escaped}'"),
            Some('\'') => format!("\"{escaped}\""),
            _ => escaped,
        };
        for (prefix, text) in [
            ("PARTLABEL=", &written),
            ("LABEL=", &written),
            ("/dev/disk/by-partlabel/", &link),
            ("/dev/disk/by-label/", &link),
        ] {
            let key = if prefix.contains("part") || prefix.contains("PART") { "PARTLABEL" } else { "LABEL" };
            let spec = format!("{prefix}{text}");
            let told = format!("{key}={label}\n");
            prop_assert!(is(&spec, &told), "{}", spec);
            let told = format!("{key}={other}\n");
            prop_assert_eq!(is(&spec, &told), label == other);
            let told = format!("{key}={label}x\n");
            prop_assert!(!is(&spec, &told));
            let told = format!("X{key}={label}\n");
            prop_assert!(!is(&spec, &told));
        }
    }
}

#[test]
fn escapes_of_links() {
    for (link, label) in [
        ("a\\x20b", "a b"),
        ("\\x2f\\x5c", "/\\"),
        ("a\\x2", "a\\x2"),
        ("a\\x", "a\\x"),
        ("\\y20", "\\y20"),
    ] {
        let told = format!("LABEL={label}");
        assert!(is(&format!("/dev/disk/by-label/{link}"), &told), "{link}");
        // As udev's environment has it, and what is copied from there.
        assert!(is(&format!("LABEL={link}"), &told), "{link}");
        assert!(is(&format!("LABEL=\"{link}\""), &told), "{link}");
    }
    assert!(spec(b"/dev/disk/by-label/\\xzz").is_none());
    assert!(spec(b"LABEL=\\xzz").is_none());
}

#[test]
fn partnroff() {
    const GUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";
    for (text, shift) in [
        (format!("PARTUUID={GUID}"), 0),
        (format!("PARTUUID={GUID}/PARTNROFF=1"), 1),
        (format!("PARTUUID={GUID}/PARTNROFF=0"), 0),
        ("PARTUUID=0a1b2c3d-02/PARTNROFF=3".to_owned(), 3),
    ] {
        assert_eq!(spec(text.as_bytes()).expect(&text).shift, shift, "{text}");
    }
}

#[test]
fn nodes_match_whole() {
    let spec = spec(b"/dev/etherd/e0.1").unwrap();
    assert_eq!(spec.text, b"/dev/etherd/e0.1");
    assert!(says(&spec, b"DEVNAME=etherd/e0.1\0"));
    assert!(!says(&spec, b"DEVNAME=etherd/e0\0"));
    assert!(!says(&spec, b"XDEVNAME=etherd/e0.1\0"));
    assert!(!says(&spec, b""));
    // Links of udev's that say where a disk hangs: refused at once instead of awaited in vain.
    assert!(self::spec(b"/dev/disk/by-path/pci-0000:00:03.0").is_none());
}

#[test]
fn numbers_match_whole() {
    assert!(is("254:2", "MAJOR=254\nMINOR=2\n"));
    for other in [
        "MAJOR=254\nMINOR=22\n",
        "MAJOR=25\nMINOR=2\n",
        "MINOR=2\n",
        "",
    ] {
        assert!(!is("254:2", other), "{other}");
    }
}

fn read(line: &str, extra: &[u8]) -> Result<Request, (Stage, &'static [u8])> {
    let plan = Plan::parse(plan(b"", b"", extra).leak()).map_err(|why| format!("{why:?}"));
    let mut request = Request::NONE;
    let line = line.to_owned().leak().as_bytes();
    let read = request.read([line, b""], &plan.unwrap(), &mut |_| ());
    read.map(|()| request)
}

#[test]
fn the_last_word_counts() {
    // Both names of a word are one word; a name without a value, and what stands behind `--`, says nothing.
    let line = "mount.usr=/dev/a usrfstype=xfs mount.usrfstype=ext4 usrflags=ro usr=/dev/b mount.usr usr \
                mount.usrflags=\"noatime,context=a b\" rd.earlytimeout=1 rd.earlytimeout=0 quiet usr2=/dev/c \
                Usr=/dev/d -- usr=/dev/e";
    let options = read(line, b"").ok().unwrap();
    assert_eq!(options.spec(Role::Data).text, b"/dev/b");
    assert_eq!(options.asked.value(Word::Mount), b"/dev/b");
    assert_eq!(options.asked.value(Word::Fstype), b"ext4");
    assert_eq!(
        options.asked.value(Word::MountOptions),
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
        "\"averity.usrhash 00\" verity.usr=/dev/a",
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
    let ro = MountFlags::RDONLY;
    for (name, want) in [
        ("ro", ro),
        ("rw", MountFlags::empty()),
        ("defaults", ro),
        ("lazytime", ro | MountFlags::LAZYTIME),
        ("nosuid", ro | MountFlags::NOSUID),
        ("nodev", ro | MountFlags::NODEV),
        ("noexec", ro | MountFlags::NOEXEC),
        ("sync", ro | MountFlags::SYNCHRONOUS),
        ("dirsync", ro | MountFlags::DIRSYNC),
        ("noatime", ro | MountFlags::NOATIME),
        ("nodiratime", ro | MountFlags::NODIRATIME),
        ("relatime", ro | MountFlags::RELATIME),
        ("strictatime", ro | MountFlags::STRICTATIME),
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
        assert_eq!(mount_options::split(longer.as_bytes(), &mut data), ro);
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
    use uevent::Key;
    let event = line(
        b"add@/devices/x\0ACTION=add\0DEVNAME=vda\0DEVNAME=vdb\0MAJOR=\0MINOR=07\0PARTN=-1\0PARTUUIDX=1\0XLABEL=2\0",
    );
    assert_eq!(uevent::value(&event, Key::DEVNAME), b"vda");
    assert_eq!(uevent::value(&event, Key::PARTUUID), b"");
    assert_eq!(uevent::value(&event, Key::LABEL), b"");
    assert_eq!(uevent::number(&event, Key::MINOR), 7);
    assert_eq!(uevent::number(&event, Key::MAJOR), uevent::NONE);
    assert_eq!(uevent::number(&event, Key::PARTN), uevent::NONE);
}
