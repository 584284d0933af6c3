//! Classes of characters as the real modprobe takes them, also those that no kernel has yet.

use std::path::PathBuf;

use builder::{
    kernel::{catalogue::Module, modinfo::Modinfo},
    plan,
    profile::Profile,
    select::{Chosen, Rank},
};
use toehold::format::plan::{Key, Plan};
use xtask::lab::paths;

use crate::oracle::{Modprobe, Names};

/// Ranges, several of them, ends that are no ranges, and what stands beside a class.
const PATTERNS: &[&str] = &[
    "[0-9]",
    "[2-5]",
    "[0-9A-F]",
    "[bs]",
    "[MU]",
    "[Ee]",
    "[a-c-e]",
    "[a-]",
    "[-a]",
    "[--0]",
    "[9-0]",
    "[_]",
    "[a_c]",
    "[+--]",
    "[a!]",
    "[a^]",
    "[.-:]",
    "[:a]",
    "-[0-9]",
    "[0-9]-x_",
    "?[0-9]*",
    "*[0-9]",
    "*[a-f]?",
    "[0-9][0-9]",
    "[0-9]*[a-f]",
    "*-[_a]*",
    "[~-!]",
    "[A-Z]",
    "[a-z]*",
    "*[0-9A-Za-z]",
    "[+-9]?*",
    "*[A-Za-z]?",
    "*[@-Z]*",
];

/// Of these a wildcard is a member. A plan cannot say that, and no modalias has one.
const WITH_WILDCARDS: &[&str] = &[
    "[!0-9]", "[^0-9]", "[!a]", "[^a-cx]", "[!-a]", "[!_]", "[*]", "[?]", "[*?]", "[[]", "[A-z]",
];

fn module(name: String, alias: String) -> Module {
    Module {
        path: PathBuf::from(&name),
        name,
        bytes: 0,
        info: Modinfo {
            aliases: vec![alias],
            ..Modinfo::default()
        },
    }
}

fn chosen(module: &Module) -> Chosen<'_> {
    Chosen {
        module,
        why: String::new(),
        needed_by: Vec::new(),
        attends: false,
        rank: Rank::Hardware,
        options: String::new(),
        dependencies: Vec::new(),
        group: None,
    }
}

#[test]
fn classes_of_characters() {
    // modprobe refuses names with brackets.
    compare(PATTERNS, "[]", 1_000);
}

#[test]
fn classes_with_wildcards() {
    compare(WITH_WILDCARDS, "[]*?", 500);
}

/// Asks modprobe and the plan for each printable character but those `without`, alone and beside others: over `least` matches.
fn compare(patterns: &[&str], without: &str, least: usize) {
    let name = |number: usize| format!("m{number}");
    let lines = patterns.iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(number, pattern)| format!("alias t:{pattern}e {}\n", name(number)))
        .collect();
    let modprobe = Modprobe::new("1", &lines.concat());

    let modules: Vec<Module> = patterns
        .iter()
        .enumerate()
        .map(|(number, pattern)| module(name(number), format!("t:{pattern}e")))
        .collect();
    let chosen: Vec<Chosen> = modules.iter().map(chosen).collect();
    let profile = Profile::read(&paths::root().join("xtask/profiles/qemu.toml"));
    let mut settings = profile.expect("a profile").settings("1");
    settings.push((Key::Suffix, b".ko".to_vec()));
    let bytes = plan::encode(&chosen, &[], &settings).expect("a plan");
    let plan = Plan::parse(&bytes).expect("a plan");

    let characters: Vec<char> = ('!'..='~')
        .filter(|next| !without.contains(*next))
        .collect();
    let texts: Vec<String> = characters
        .iter()
        .flat_map(|next| {
            ["@", "-@", "@-x-", "1@", "@1", "x@1", "5x@", "@_"]
                .map(|text| text.replace('@', &next.to_string()))
        })
        .map(|text| format!("t:{text}e"))
        .collect();
    let (mut found, mut mismatches) = (0, Vec::new());
    for (text, want) in texts.iter().zip(modprobe.resolve(&texts)) {
        let mut have = Names::new();
        plan.lookup(text.as_bytes(), &mut |number| {
            have.insert(name(number));
        });
        found += want.len();
        if have != want {
            let differ = want.symmetric_difference(&have);
            let differ: Vec<&str> = differ
                .map(|name| patterns[name[1..].parse::<usize>().unwrap()])
                .collect();
            mismatches.push(format!("{text}: {differ:?}"));
        }
    }
    assert!(
        mismatches.is_empty(),
        "{} of {} differ:\n{}",
        mismatches.len(),
        texts.len(),
        mismatches.join("\n")
    );
    assert!(found > least, "{found} matches");
}
