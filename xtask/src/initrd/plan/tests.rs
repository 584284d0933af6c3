//! The plan against its reader: exact bytes, hostile bytes, and look-ups against a straightforward search.

use std::{collections::BTreeSet, path::PathBuf};

use toehold::format::plan::{ABSENT, Key, Plan, Refused};
use toehold::schedule::{Schedule, State};

use super::encode;
use crate::initrd::{
    catalogue::Module,
    modinfo::Modinfo,
    resolve::{Chosen, Rank},
};

/// A module that has these aliases.
pub fn module(name: &str, aliases: &[&str]) -> Module {
    Module {
        name: name.to_owned(),
        path: PathBuf::from(format!("kernel/{name}.ko")),
        bytes: 0,
        info: Modinfo {
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ..Modinfo::default()
        },
    }
}

fn chosen<'a>(
    module: &'a Module,
    rank: Rank,
    options: &str,
    dependencies: Vec<(usize, bool)>,
) -> Chosen<'a> {
    Chosen {
        module,
        why: String::new(),
        needed_by: Vec::new(),
        rank,
        attends: false,
        options: options.to_owned(),
        dependencies,
    }
}

/// What every plan has, and one setting that is empty.
fn settings() -> Vec<(Key, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (Key::Release, text("6.1")),
        (Key::VerityName, text("usr")),
        (Key::VerityRequired, Vec::new()),
        (Key::Mountpoint, text("/usr")),
        (Key::Image, text("image")),
        (Key::OverlayOptions, text("size=50%")),
        (Key::Init, text("/init")),
        (Key::Suffix, text(".ko")),
        (Key::VerityOptions, text("salt=-")),
        (Key::HashOffsetFallback, 512u64.to_le_bytes().to_vec()),
        (Key::Locked, Vec::new()),
        (Key::RootHash, text("00ff")),
        (Key::Words, text("verity.usr usrhash")),
    ]
}

fn small() -> Vec<u8> {
    let modules = [
        module("dm-mod", &[]),
        module(
            "ab",
            &[
                "fs-ab",
                "usb:v0001p0002d*",
                "usb:v0001p0004d*",
                "usb:v0101p0002d*",
            ],
        ),
    ];
    encode(
        &[
            chosen(&modules[0], Rank::Always, "", Vec::new()),
            chosen(&modules[1], Rank::Console, "x=1", vec![(0, true)]),
        ],
        &[&module("a-c", &["fs-ac", "usb:v0001p0003d*"])],
        &settings(),
    )
    .unwrap()
}

#[test]
fn exact_bytes() {
    let mut want = Vec::new();
    let modules = b"\x01\x06dm_mod\0\0\x02\x02ab\x03x=1\x01\x00\x80\x04\x03a_c\0\0";
    // Keys 0x00010002, then 2 more, then 0xFFFFFE more.
    let aliases = b"\x05fs_ab\x03\x01\x01\0\
        \x10usb:v\x01\x01\x01\x01p\x01\x01\x01\x01d*\x0F\x01\x08\x82\x80\x04\x02\xFE\xFF\xFF\x07\x01\x03\x83\x80\x04";
    let settings = b"\x01\x036.1\x02\x03usr\x03\0\x06\x04/usr\x07\x05image\x08\x08size=50%\
        \x09\x05/init\x0B\x03.ko\x0D\x06salt=-\x0E\x08\0\x02\0\0\0\0\0\0\x0F\0\x10\x0400ff\x14\x12verity.usr usrhash";
    let len = 28 + modules.len() + aliases.len() + settings.len();
    want.extend(b"toehold\0\x02\0\0\0");
    want.extend([len as u8, 0, 0, 0]);
    want.extend([0; 4]);
    want.extend([modules.len() as u8, 0, 0, 0, aliases.len() as u8, 0, 0, 0]);
    want.extend(modules);
    want.extend(aliases);
    want.extend(settings);
    let got = small();
    want[16..20].copy_from_slice(&got[16..20]);
    assert_eq!(
        got.escape_ascii().to_string(),
        want.escape_ascii().to_string()
    );
}

#[test]
fn reads_back() {
    let file = small();
    let plan = Plan::parse(&file).unwrap();
    let modules: Vec<_> = plan.modules().collect();
    assert_eq!(modules.len(), 3);
    assert_eq!(
        (modules[0].name, modules[0].options, modules[0].flags),
        (&b"dm_mod"[..], &b""[..], 1)
    );
    assert_eq!(
        (modules[1].name, modules[1].options, modules[1].flags),
        (&b"ab"[..], &b"x=1"[..], 2)
    );
    assert_eq!(modules[1].dependencies().collect::<Vec<_>>(), [(0, true)]);
    assert_eq!((modules[2].name, modules[2].flags), (&b"a_c"[..], ABSENT));
    assert_eq!(plan.setting(Key::Release), Some(&b"6.1"[..]));
    assert_eq!(plan.setting(Key::VerityRequired), Some(&b""[..]));
    assert_eq!(plan.setting(Key::Jobs), None);
    assert_eq!(plan.setting(Key::VerityOptions), Some(&b"salt=-"[..]));
    assert_eq!(plan.number(Key::HashOffsetFallback), Some(512));
    assert_eq!(plan.setting(Key::Locked), Some(&b""[..]));
    assert_eq!(plan.setting(Key::RootHash), Some(&b"00ff"[..]));
    for (modalias, want) in [
        ("fs-ab", Some(1)),
        ("fs_ab", Some(1)),
        ("fs-abc", None),
        // By hardware only.
        ("fs-ac", None),
        ("usb:v0001p0002d0100", Some(1)),
        ("usb:v0001p0003d0100", Some(2)),
        ("usb:v0001p0004d", Some(1)),
        ("usb:v0101p0002d0100", Some(1)),
        ("usb:v0101p0003d0100", None),
        ("", None),
    ] {
        let mut found = Vec::new();
        plan.lookup(modalias.as_bytes(), &mut |number| found.push(number));
        assert_eq!(found, Vec::from_iter(want), "{modalias}");
    }
}

#[test]
fn damage_is_refused() {
    let file = small();
    for len in 0..file.len() {
        assert!(Plan::parse(&file[..len]).is_err(), "{len} bytes");
    }
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Plan::parse(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn what_depends_on_later_ones_is_refused() {
    let one = module("one", &[]);
    for needed in [0, 1] {
        let error = encode(
            &[chosen(&one, Rank::Hardware, "", vec![(needed, false)])],
            &[],
            &settings(),
        );
        let text = format!("{:#}", error.unwrap_err());
        assert_eq!(text, "module one: it stands before what it depends on");
    }
}

/// Damage behind a checksum that was made to hold: refused or read in bounds, never a panic, and loading all of it ends, whatever depends
/// on what.
#[test]
fn forged_checksums_do_no_harm() {
    let file = small();
    for (offset, value) in
        (20..file.len()).flat_map(|offset| (0..=255).map(move |value| (offset, value)))
    {
        let mut forged = file.clone();
        forged[offset] = value;
        let crc = toehold::format::crc32::crc32(&forged[20..]);
        forged[16..20].copy_from_slice(&crc.to_le_bytes());
        match Plan::parse(&forged) {
            Err(refused) => assert!(
                matches!(refused, Refused::Structure | Refused::Truncated),
                "{refused:?}"
            ),
            Ok(plan) => {
                let mut schedule = Box::new(Schedule::none());
                schedule.slots = 1;
                for module in plan.modules() {
                    schedule.ask(module.number, State::NEEDED);
                }
                let mut loaded = 0;
                while let Some(module) = schedule.next(&plan) {
                    schedule.settle(module.number, State::LOADED);
                    loaded += 1;
                }
                assert!(loaded <= plan.modules().count());
                for text in ["fs-ab", "usb:v0001p0002d0100", ""] {
                    plan.lookup(text.as_bytes(), &mut |_| ());
                }
                plan.setting(Key::PromptSeconds);
            }
        }
    }
}

/// fnmatch(3) by definition: a star stands for nothing, or for one more character.
fn fnmatch(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', pattern @ ..], _) if fnmatch(pattern, text) => true,
        ([b'*', ..], [_, text @ ..]) => fnmatch(pattern, text),
        ([b'?', pattern @ ..], [_, text @ ..]) => fnmatch(pattern, text),
        ([b'[', class @ ..], [have, text @ ..]) => {
            let end = class.iter().position(|byte| *byte == b']').unwrap();
            let (class, rest) = class.split_at(end);
            let range =
                |part: &[u8]| matches!(part, [low, b'-', high] if (low..=high).contains(&have));
            let inside = class.contains(have) || class.windows(3).any(range);
            inside && fnmatch(&rest[1..], text)
        }
        ([want, pattern @ ..], [have, text @ ..]) => want == have && fnmatch(pattern, text),
        _ => false,
    }
}

/// A modalias that `pattern` matches: each wildcard replaced by what a device could have there.
fn instance(pattern: &str, seed: &mut u32) -> String {
    let mut random = |below: usize| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 16) as usize % below
    };
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(byte) = rest.next() {
        match byte {
            '*' => {
                (0..random(5)).for_each(|_| text.push(char::from(b"0123456789ABCDEF"[random(16)])))
            }
            '?' => text.push('7'),
            '[' => {
                let class: Vec<char> = rest.by_ref().take_while(|byte| *byte != ']').collect();
                text.push(class[random(2) * (class.len() - 1)]);
            }
            byte => text.push(byte),
        }
    }
    text
}

/// Every alias of `modules` is found, and a modalias made from it finds what a search through all patterns finds.
pub fn check_lookups(file: &[u8], modules: &[Chosen]) {
    let plan = Plan::parse(file).unwrap();
    let fold = |text: &str| match text.contains('[') {
        true => text.to_owned(),
        false => text.replace('-', "_"),
    };
    let mut patterns = Vec::new();
    for (number, chosen) in modules.iter().enumerate() {
        for alias in &chosen.module.info.aliases {
            let pattern = fold(alias);
            let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
            patterns.push((number, alias, pattern, literal));
        }
    }
    let mut seed = 1;
    for (number, alias, ..) in &patterns {
        let modalias = instance(alias, &mut seed);
        let text = fold(&modalias);
        let want: BTreeSet<usize> = patterns
            .iter()
            .filter(|(_, _, pattern, literal)| {
                text.starts_with(&pattern[..*literal])
                    && fnmatch(pattern.as_bytes(), text.as_bytes())
            })
            .map(|(number, ..)| *number)
            .collect();
        assert!(
            want.contains(number),
            "{modalias} is no instance of {alias}"
        );
        let mut found = BTreeSet::new();
        plan.lookup(modalias.as_bytes(), &mut |number| {
            found.insert(number);
        });
        assert_eq!(found, want, "{modalias}, made from {alias}");
    }
}

#[test]
fn lookups_find_what_a_search_finds() {
    let modules = [
        module(
            "a",
            &[
                "pci:v00008086d00002922sv*sd*bc01sc*i*",
                "pci:v00008086d*sv*sd*bc01sc06i01*",
                "pci:v*d*sv*sd*bc01sc06i01*",
            ],
        ),
        module(
            "b",
            &[
                "pci:v00008086d00002922sv00001AF4sd00001100bc*sc*i*",
                "pci:v0000FFFFdFFFFFFFFsv*sd*bc*sc*i*",
                "crypto-b",
                "b-*",
            ],
        ),
        module(
            "c",
            &[
                "hid:b0003g*v0000045Ep0000028E",
                "hid:b*g*v*p*",
                "hid:b0003g0001v0000045Ep*",
                "usb:v0951p1666d01[0-3]*dc*dsc*",
            ],
        ),
        module(
            "d",
            &[
                "usb:v0951p1666d010[1-9]dc*dsc*",
                "usb:v0951p1666d*dc*dsc*",
                "acpi*:PNP0C14:*",
                "acpi*:PNP0C0A:*",
            ],
        ),
        module(
            "e",
            &[
                "pci:v00008086d00002923sv*sd*bc01sc*i*",
                "pci:v00008086d00002924sv*sd*bc01sc*i*",
                "crypto-b",
            ],
        ),
    ];
    let modules: Vec<Chosen> = modules
        .iter()
        .map(|module| chosen(module, Rank::Hardware, "", Vec::new()))
        .collect();
    let file = encode(&modules, &[], &settings()).unwrap();
    for _ in 0..20 {
        check_lookups(&file, &modules);
    }
    // Two identifiers in one modalias: each finds its own.
    let plan = Plan::parse(&file).unwrap();
    let mut found = Vec::new();
    plan.lookup(b"acpi:PNP0A03:PNP0C0A:", &mut |number| found.push(number));
    assert_eq!(found, [3]);
}
