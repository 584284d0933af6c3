//! The plan's look-ups against a straightforward search.

use std::{collections::BTreeSet, path::PathBuf};

use builder::{
    kernel::{catalogue::Module, modinfo::Modinfo},
    plan::encode,
    select::{Chosen, Rank},
};
use toehold::format::plan::{Key, Plan};

use super::kernels::{files, profile};

/// A module that has these aliases.
fn module(name: &str, aliases: &[&str]) -> Module {
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

fn chosen(module: &Module) -> Chosen<'_> {
    Chosen {
        module,
        why: String::new(),
        needed_by: Vec::new(),
        rank: Rank::Hardware,
        attends: false,
        options: String::new(),
        dependencies: Vec::new(),
        group: None,
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
    for (module, chosen) in files(&plan).zip(modules) {
        let number = module.number;
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
    let modules: Vec<Chosen> = modules.iter().map(chosen).collect();
    let mut settings = profile("flatcar.toml").settings("6.1");
    settings.push((Key::Suffix, b".ko".to_vec()));
    let file = encode(&modules, &[], &settings).unwrap();
    for _ in 0..20 {
        check_lookups(&file, &modules);
    }
    // Two identifiers in one modalias: each finds its own.
    let plan = Plan::parse(&file).unwrap();
    let mut found = Vec::new();
    plan.lookup(b"acpi:PNP0A03:PNP0C0A:", &mut |number| found.push(number));
    assert_eq!(found, [3]);
}
