//! The plan against its reader: exact bytes and hostile bytes.

use std::path::PathBuf;

use toehold::format::plan::{ABSENT, ALWAYS, ATTEND, CONSOLE, Key, Plan, Refused};
use toehold::schedule::{Schedule, State};

use super::encode;
use crate::{
    kernel::{catalogue::Module, modinfo::Modinfo},
    select::{Chosen, Rank},
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

pub fn chosen<'a>(
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
        group: None,
    }
}

/// What every plan has, and one setting that is empty.
pub fn settings() -> Vec<(Key, Vec<u8>)> {
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
    want.extend(b"toehold\0\x04\0\0\0");
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

/// The same modules in groups.
fn in_groups(groups: [Option<usize>; 2]) -> anyhow::Result<Vec<u8>> {
    let modules = [module("dm-mod", &[]), module("ab", &["fs-ab"])];
    let mut chosen = [
        chosen(&modules[0], Rank::Always, "", Vec::new()),
        chosen(&modules[1], Rank::Console, "x=1", vec![(0, true)]),
    ];
    for (chosen, group) in chosen.iter_mut().zip(groups) {
        chosen.group = group;
    }
    chosen[0].attends = true;
    encode(&chosen, &[&module("a-c", &["usb:v0001"])], &settings())
}

#[test]
fn modules_in_the_pack() {
    for (groups, section, members) in [
        (
            [Some(0), Some(1)],
            &b"\x18\x07group_0\0\0\x09\x06dm_mod\0\x01\0\0\x10\x07group_1\0\0\
                \x02\x02ab\x03x=1\x02\x02\0\x01\x80\x04\x03a_c\0\0"[..],
            [(1, Some(0)), (3, Some(2))],
        ),
        (
            [Some(0), Some(0)],
            b"\x18\x07group_0\0\0\x09\x06dm_mod\0\x01\0\0\
                \x02\x02ab\x03x=1\x02\0\0\x01\x80\x04\x03a_c\0\0",
            [(1, Some(0)), (2, Some(0))],
        ),
        (
            [None, Some(0)],
            b"\x09\x06dm_mod\0\0\x10\x07group_0\0\0\
                \x02\x02ab\x03x=1\x02\x01\0\0\x80\x04\x03a_c\0\0",
            [(0, None), (2, Some(1))],
        ),
    ] {
        let file = in_groups(groups).unwrap();
        let got = &file[28..][..section.len()];
        assert_eq!(
            got.escape_ascii().to_string(),
            section.escape_ascii().to_string()
        );
        assert_eq!(usize::from(file[20]), section.len());
        let plan = Plan::parse(&file).unwrap();
        let modules: Vec<_> = plan.modules().collect();
        let [first, second] = members;
        for ((place, group), flags) in [(first, ALWAYS | ATTEND), (second, CONSOLE)] {
            assert_eq!(modules[place].flags, flags);
            let in_plan = plan
                .groups_of_pack()
                .filter(|number| modules[place].is_in(*number));
            assert_eq!(in_plan.collect::<Vec<_>>(), Vec::from_iter(group));
        }
        assert_eq!(modules.last().unwrap().flags, ABSENT);
        for (number, place) in plan.groups_of_pack().enumerate() {
            assert_eq!(plan.groups_before(place), number);
        }
        // Aliases and dependencies are of the modules' places.
        let mut found = None;
        plan.lookup(b"fs-ab", &mut |number| found = Some(number));
        assert_eq!(found, Some(second.0));
        let mut needed = modules[second.0].dependencies();
        assert!(needed.any(|needed| needed == (first.0, true)));
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
    let files = [small(), in_groups([Some(0), Some(1)]).unwrap()];
    for (file, offset, value) in files.iter().flat_map(|file| {
        (20..file.len()).flat_map(move |offset| (0..=255).map(move |value| (file, offset, value)))
    }) {
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
