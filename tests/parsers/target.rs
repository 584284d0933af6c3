//! What a verity device is made from: options, superblocks that contradict them, and single tables.

use toehold::format::verity::{Layout, Parameters};
use toehold::text::{Line, push};

use toehold_samples::layouts::superblock;

pub const HASH: &str = "4c1f36d0bb3f3c4ef9d3b8b9e5b8e5d8d8f7a4c2a1b0c9d8e7f60514233241aa";
/// Uevents of the devices that data, tree and error correction can be on.
pub const DEVICES: [&[u8]; 3] = [
    b"MAJOR=254\nMINOR=2\nDEVNAME=vda2\n",
    b"ACTION=add\nMAJOR=8\nMINOR=17\nDEVNAME=sdb1\n",
    b"MAJOR=259\nMINOR=1048575\nDEVNAME=nvme0n1p3\n",
];

/// Text in the library's buffer.
pub fn line(text: &[u8]) -> Line {
    let mut line = Line::new();
    push(&mut line, text);
    line
}

/// The uevents of these devices.
pub fn devices(events: [Option<&[u8]>; 3]) -> [Line; 3] {
    events.map(|event| line(event.unwrap_or_default()))
}

/// The table of a target on these devices.
pub fn table(target: &Layout, events: [Option<&[u8]>; 3], armed: bool) -> String {
    let mut text = Line::new();
    target.push_table(&devices(events), &mut text, armed);
    String::from_utf8(text.to_vec()).unwrap()
}

/// The option that a superblock contradicts, and both values.
pub fn contradiction(target: &Layout) -> Option<(String, String, String)> {
    let mut has = Line::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (option, wanted) = target.contradiction(&mut has)?;
    Some((text(option), text(&has), text(wanted)))
}

#[test]
fn table_of_flatcar() {
    let mut target = Layout {
        superblock: superblock(1, "sha256", (4096, 4096), 260_094, &[0xAB; 32]),
        root_hash: HASH.as_bytes(),
        hash_offset: 1_065_345_024,
        ..Layout::NONE
    };
    target.parameters.read(b"panic-on-corruption").unwrap();
    assert!(target.measure(1_065_345_024));
    let salt = "ab".repeat(32);
    let want =
        format!("1 254:2 254:2 4096 4096 260094 260095 sha256 {HASH} {salt} 1 panic_on_corruption");
    let devices = [Some(DEVICES[0]), None, None];
    assert_eq!(table(&target, devices, true), want);
    assert_eq!(target.sectors(), 1_065_345_024 / 512);
}

/// The superblock ends exactly where a hash block does, or one sector behind.
#[test]
fn trees_begin_with_a_whole_block() {
    for (options, offset, want) in [
        ("", 3584, "1"),
        ("", 4096, "2"),
        ("", 0, "1"),
        ("superblock=no", 8192, "2"),
        ("superblock=no", 8191, "1"),
        ("superblock=no", 0, "0"),
    ] {
        let mut target = Layout {
            superblock: superblock(1, "sha256", (4096, 4096), 2, b""),
            hash_offset: offset,
            ..Layout::NONE
        };
        target.parameters.read(options.as_bytes()).unwrap();
        let text = table(&target, [None; 3], false);
        assert_eq!(text.split(' ').nth(6), Some(want), "{options} {offset}");
    }
}

/// cryptsetup's defaults where neither a superblock nor an option says anything: the length is the device's.
#[test]
fn nothing_said() {
    let mut target = Layout {
        root_hash: HASH.as_bytes(),
        ..Layout::NONE
    };
    let devices = [Some(DEVICES[0]), Some(DEVICES[1]), None];
    target.parameters.read(b"superblock=0").unwrap();
    assert!(target.measure(40_960 + 4095));
    let want = format!("1 254:2 8:17 4096 4096 10 0 sha256 {HASH} -");
    assert_eq!(table(&target, devices, true), want);
}

/// A superblock that says something else than the profile or the command line is refused.
#[test]
pub fn contradictions() {
    const UUID: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    for (options, want) in [
        (
            "format=1,data-block-size=4096,hash-block-size=4096,hash=sha256,data-blocks=10,salt=73616C74",
            None,
        ),
        (
            "uuid=00010203-0405-0607-0809-0A0b0c0d0e0f,superblock=yes,hash-offset=4096",
            None,
        ),
        ("format=0", Some(("format", "1", "0"))),
        (
            "data-block-size=1024",
            Some(("data-block-size", "4096", "1024")),
        ),
        (
            "hash-block-size=512",
            Some(("hash-block-size", "4096", "512")),
        ),
        ("data-blocks=9", Some(("data-blocks", "10", "9"))),
        ("hash=sha512", Some(("hash", "sha256", "sha512"))),
        ("hash=sha25", Some(("hash", "sha256", "sha25"))),
        ("salt=-", Some(("salt", "73616c74", "-"))),
        ("salt=73616c7400", Some(("salt", "73616c74", "73616c7400"))),
        (
            "uuid=00010203-0405-0607-0809-0a0b0c0d0e0e",
            Some(("uuid", UUID, "00010203-0405-0607-0809-0a0b0c0d0e0e")),
        ),
    ] {
        let mut target = Layout {
            superblock: superblock(1, "sha256", (4096, 4096), 10, b"salt"),
            ..Layout::NONE
        };
        target.parameters.read(options.as_bytes()).unwrap();
        let want = want
            .map(|(option, has, wanted)| (option.to_owned(), has.to_owned(), wanted.to_owned()));
        assert_eq!(contradiction(&target), want, "{options}");
    }
    let mut target = Layout {
        superblock: superblock(1, "sha256", (4096, 4096), 10, b""),
        ..Layout::NONE
    };
    target.parameters.read(b"salt=-").unwrap();
    assert_eq!(contradiction(&target), None);
}

#[test]
fn refused_options() {
    for option in [
        "panic_on_corruption",
        "eio",
        "panic-on-corruption=yes",
        "check-at-most-once=1",
        "format",
        "superblock",
        "salt",
        "fec-device",
        "_netdev",
        "Format=1",
        "=1",
    ] {
        let list = format!("format=1,{option},,ignore-zero-blocks");
        let mut parameters = Parameters::NONE;
        let refused = parameters.read(list.as_bytes());
        assert_eq!(refused, Err(option.as_bytes()), "{option}");
    }
    let mut parameters = Parameters::NONE;
    assert_eq!(parameters.read(b",,format=1,"), Ok(()));
}
