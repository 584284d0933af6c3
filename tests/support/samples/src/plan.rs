//! The plan: damaged, it is refused; and where its checksum was made to fit, what it holds lies within it.

use toehold::format::plan::{GROUP, Key, Plan};

use crate::layouts;
use crate::target::Target;

pub const PLAN: Target = Target {
    name: "plan",
    seeds: || vec![plan()],
    // The header, the lengths of the sections, and where the first modules and aliases are.
    fields: &[
        (8, 4),
        (12, 4),
        (20, 4),
        (24, 4),
        (28, 1),
        (29, 1),
        (38, 1),
        (39, 2),
        (44, 1),
        (53, 2),
        (64, 1),
        (71, 1),
        (72, 2),
        (74, 2),
        (77, 1),
        (93, 1),
        (95, 2),
    ],
    words: &[],
    seal,
    check,
};

/// A group of the module pack and three modules, the second and the third needing the first, the third in the group; `pci:`
/// aliases of the first two, of which one ends in a star.
pub fn plan() -> Vec<u8> {
    let string = |parts: &[&[u8]]| {
        let bytes = parts.concat();
        [&[bytes.len() as u8], &bytes[..]].concat()
    };
    let modules = [
        &[GROUP][..],
        &string(&[b"group_0"]),
        &string(&[]),
        &[0],
        &[1],
        &string(&[b"dm"]),
        &string(&[]),
        &[0],
        &[0],
        &string(&[b"virtio"]),
        &string(&[b"num=1"]),
        &[2, 1, 0, 1, 0x80],
        &[0],
        &string(&[b"ahci"]),
        &string(&[]),
        &[2, 0, 0, 1, 0],
    ];
    let aliases = [
        string(&[b"pci:v\x01\x01d\x01\x01sv*b"]),
        string(&[
            &[1],
            &string(&[&[0x81, 0x04, 5, 6]]),
            &[1],
            &string(&[&[0x82, 0x04, 7]]),
        ]),
        string(&[b"virtio-d_"]),
        string(&[&[2], &string(&[&[0, 0]])]),
    ];
    let offset = [
        Key::HashOffsetFallback as u8,
        8,
        0,
        0,
        0x80,
        0x3F,
        0,
        0,
        0,
        0,
    ];
    layouts::plan(&modules.concat(), &aliases.concat(), &offset)
}

/// Reads everything that there is in a plan.
pub fn walk(plan: &Plan) {
    for module in plan.modules() {
        module.dependencies().for_each(drop);
        assert!(!module.is_in(usize::MAX));
    }
    for group in plan.groups() {
        group.sets().for_each(|set| set.keys().for_each(drop));
    }
    for modalias in [&b"pci:v00d01sv1b"[..], b"virtio-d_", b"", &[0xFF; 99]] {
        plan.lookup(modalias, &mut |_| {});
    }
    for key in [
        Key::Release,
        Key::Init,
        Key::HashOffsetFallback,
        Key::PromptSeconds,
    ] {
        plan.setting(key);
        plan.text(key);
    }
}

/// Gives a plan the checksum that fits it.
pub fn seal(file: &mut [u8]) {
    if let Some((head, rest)) = file.split_at_mut_checked(20) {
        head[16..20].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    }
}

fn check(file: &[u8]) {
    if let Ok(plan) = Plan::parse(file) {
        // What follows the length that it says is not its own.
        let length = u32::from_le_bytes(*file[12..].first_chunk().expect("a header"));
        let own = &file[..length as usize];
        let mut sealed = own.to_vec();
        seal(&mut sealed);
        assert_eq!(sealed, own);
        walk(&plan);
    }
}

#[test]
fn what_a_plan_says() {
    let good = plan();
    let opened = Plan::parse(&good).ok().unwrap();
    let modules = opened.modules();
    let modules: Vec<_> = modules
        .map(|module| (module.name, module.flags & GROUP, module.is_in(0)))
        .collect();
    let want = [
        (&b"group_0"[..], GROUP, false),
        (b"dm", 0, false),
        (b"virtio", 0, false),
        (b"ahci", 0, true),
    ];
    assert_eq!(modules, want);
    assert_eq!(opened.groups().count(), 2);
    for (modalias, want) in [
        (&b"pci:v20d1Bsv1b"[..], None),
        (b"pci:v02d01sv1b", Some(1)),
        (b"pci:v02d02sv1b", Some(2)),
        (b"virtio-d_", Some(2)),
    ] {
        let mut found = None;
        opened.lookup(modalias, &mut |module| found = Some(module));
        assert_eq!(found, want, "{}", modalias.escape_ascii());
    }
    assert_eq!(opened.text(Key::Init), b"/init");
}

#[test]
fn damaged_plans_are_refused() {
    let good = plan();
    let mut damaged = good.clone();
    for bit in 0..good.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Plan::parse(&damaged).is_err(), "bit {bit}");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..good.len() {
        let refused = Plan::parse(&good[..len]).err();
        assert_eq!(
            refused,
            Some(toehold::format::plan::Refused::Truncated),
            "{len} bytes"
        );
        // The same with the length and the checksum that fit.
        let mut cut = good[..len].to_vec();
        if len >= 28 {
            cut[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        }
        seal(&mut cut);
        // Only what a boot can do without may be gone.
        if let Ok(plan) = Plan::parse(&cut) {
            assert_eq!(plan.text(Key::Init), b"/init", "{len} bytes");
            walk(&plan);
        }
    }
}

/// A number of more than 64 bits is none.
#[test]
fn numbers_too_long() {
    for (len, want) in [(9, Some(&b""[..])), (10, None), (20, None), (300, None)] {
        let mut extra = vec![0x80; len + 2];
        extra[0] = Key::HashOffsetFallback as u8;
        extra[len + 1] = 0;
        let file = layouts::plan(b"", b"", &extra);
        let plan = Plan::parse(&file).ok();
        let value = plan.and_then(|plan| plan.setting(Key::HashOffsetFallback));
        assert_eq!(value, want, "{len}");
    }
}
