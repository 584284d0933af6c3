//! The verity superblock and the options of a verity device: they add no word to the kernel's table, and nothing that was not
//! asked for.

use toehold::format::verity::{Layout as Device, Parameter, Parameters, SUPERBLOCK};
use toehold::text::{Line, push};

use crate::layouts;
use crate::target::Target;

/// A superblock, and behind it a list of options.
pub const VERITY: Target = Target {
    name: "verity",
    seeds: || {
        let superblock = layouts::superblock(1, "sha256", (4096, 4096), 260_094, &[0xAB; 32]);
        let list = "data-blocks=260094,hash=SHA256,panic-on-corruption,fec-device=/dev/vda3,fec-offset=4096";
        vec![
            superblock.to_vec(),
            [&superblock[..], list.as_bytes()].concat(),
            layouts::superblock(0, "sha1", (512, 1024), 1, b"").to_vec(),
        ]
    },
    fields: &[
        (8, 4),
        (12, 4),
        (32, 8),
        (64, 4),
        (68, 4),
        (72, 8),
        (80, 2),
        (80, 4),
    ],
    words: &[],
    seal: |_| {},
    check: check_superblock,
};

/// A list of options alone.
pub const OPTIONS: Target = Target {
    name: "options",
    seeds: || {
        [
            "superblock=0,format=0,data-block-size=1024,hash-block-size=512,data-blocks=7,hash-offset=8192,hash=sha512,salt=-",
            "salt=00ff,uuid=00010203-0405-0607-0809-0a0b0c0d0e0f,superblock=yes,root-hash-signature=/usr.sig",
            "ignore-corruption,restart-on-corruption,panic-on-corruption,ignore-zero-blocks,check-at-most-once",
            "fec-device=PARTUUID=x,fec-offset=4096,fec-roots=24,panic-on-error,restart-on-error,try-verify-in-tasklet",
        ]
        .map(|list| list.as_bytes().to_vec())
        .to_vec()
    },
    fields: &[],
    words: &[
        b",",
        b"=",
        b",,",
        b"superblock=0",
        b"superblock=off,",
        b"data-blocks=18446744073709551615",
        b"data-block-size=0",
        b"hash-block-size=1",
        b"hash-offset=18446744073709551615",
        b"fec-device=x",
        b"fec-offset=1",
        b"fec-roots=0",
        b"ignore-corruption",
        b"panic-on-error",
        b"salt= 1 ignore_corruption",
        b"hash=",
        b"uuid=-",
        b" ",
        b"\0",
        b"%",
    ],
    seal: |_| {},
    check: check_options,
};

const KNOWN: [&str; 21] = [
    "format",
    "data-block-size",
    "hash-block-size",
    "data-blocks",
    "hash",
    "salt",
    "uuid",
    "superblock",
    "hash-offset",
    "fec-offset",
    "fec-roots",
    "fec-device",
    "root-hash-signature",
    "ignore-corruption",
    "restart-on-corruption",
    "panic-on-corruption",
    "restart-on-error",
    "panic-on-error",
    "ignore-zero-blocks",
    "check-at-most-once",
    "try-verify-in-tasklet",
];

fn check_superblock(bytes: &[u8]) {
    let Some((superblock, list)) = bytes.split_first_chunk::<SUPERBLOCK>() else {
        return;
    };
    let mut parameters = Parameters::NONE;
    if parameters.read(list).is_ok() {
        check_device(*superblock, parameters);
    }
}

fn check_options(list: &[u8]) {
    let mut parameters = Parameters::NONE;
    let name = |option: &[u8]| option.split(|byte| *byte == b'=').next().unwrap().to_vec();
    let is_known = |option: &[u8]| KNOWN.iter().any(|known| known.as_bytes() == name(option));
    match parameters.read(list) {
        Ok(()) => {
            for option in list.split(|byte| *byte == b',') {
                assert!(option.is_empty() || is_known(option));
            }
            check_device([0; SUPERBLOCK], parameters);
        }
        Err(refused) => {
            let mut options = list.split(|byte| *byte == b',');
            assert!(options.any(|option| option == refused && !option.is_empty()));
        }
    }
}

/// Bytes of a small device that has data and tree.
const ROOM: u64 = 260_094 * 4096;

fn check_device(superblock: [u8; SUPERBLOCK], parameters: Parameters) {
    let mut device = Device::NONE;
    device.superblock = superblock;
    device.parameters = parameters;
    device.root_hash = b"00ff";
    device.hash_device_size = ROOM;
    let mut event = Line::new();
    push(&mut event, b"MAJOR=254\nMINOR=1\nDEVNAME=vda1");
    let corrects = parameters.get(Parameter::FecDevice).is_some();
    let mut devices = [event.clone(), Line::new(), Line::new()];
    if corrects {
        devices = [event.clone(), event.clone(), event];
    }
    if parameters.has_superblock() && !device.is_superblock() {
        return;
    }
    let mut has = Line::new();
    if let Some((field, wanted)) = device.contradiction(&mut has) {
        assert_ne!(has, wanted);
        assert!(KNOWN.iter().any(|known| known.as_bytes() == field));
        return;
    }
    if !device.measure(ROOM) {
        return;
    }
    let shown =
        u128::from(device.data_blocks) * u128::from(device.number(Parameter::DataBlockSize));
    assert!(shown <= u128::from(ROOM) && u128::from(device.sectors()) * 512 <= shown);
    let mut text = Line::new();
    device.push_uuid(&mut text, b"usr");
    assert!(text.iter().all(u8::is_ascii_graphic));
    let is_asked = |option: &[u8]| {
        let asked = [Parameter::OnCorruption, Parameter::OnError].map(|of| parameters.get(of));
        asked.contains(&Some(option))
    };
    for armed in [false, true] {
        text.clear();
        device.push_table(&devices, &mut text, armed);
        check_table(&text, &|policy| armed && is_asked(policy));
    }
}

/// The policies as they are asked for.
const POLICIES: [&str; 5] = [
    "ignore-corruption",
    "restart-on-corruption",
    "panic-on-corruption",
    "restart-on-error",
    "panic-on-error",
];

fn check_table(text: &[u8], is_asked: &dyn Fn(&[u8]) -> bool) {
    let shown = text.escape_ascii();
    assert!(
        text.iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' '),
        "{shown}"
    );
    let words: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    if words[7].is_empty() {
        // A superblock that names no algorithm: the kernel misses a word.
        return;
    }
    assert!(words.iter().all(|word| !word.is_empty()), "{shown}");
    let count = words.get(10).map_or(0, |count| {
        let count = str::from_utf8(count).expect("ASCII");
        count.parse::<usize>().expect("a number of options") + 1
    });
    assert_eq!(words.len(), 10 + count, "{shown}");
    assert_eq!(
        (words[1], words[8]),
        (&b"254:1"[..], &b"00ff"[..]),
        "{shown}"
    );
    for policy in POLICIES {
        let word = policy.replace('-', "_");
        let is_there = words[10..].contains(&word.as_bytes());
        assert_eq!(is_there, is_asked(policy.as_bytes()), "{policy}: {shown}");
    }
}
