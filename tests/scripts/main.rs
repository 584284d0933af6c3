//! Every shell script of the repository, also those on pages that people copy them from, as shellcheck sees them.

use std::fs;

use walkdir::WalkDir;
use xtask::lab::{paths, tools};

/// What shellcheck says of a script; nothing if all is well.
fn wrong(script: &str) -> Option<String> {
    let mut shellcheck = tools::SHELLCHECK.command().unwrap();
    // Without anybody's own settings.
    shellcheck.args(["--norc", "-"]);
    let error = tools::feed(&mut shellcheck, script).err()?;
    Some(error.to_string())
}

/// Whether a text is a script of sh or of a shell like it: its first line names one.
fn is_script(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.split(['/', ' ']);
    line.starts_with("#!") && words.any(|word| ["sh", "bash", "dash"].contains(&word))
}

/// The scripts in a file: itself, or blocks of code on a page.
fn scripts(text: &str) -> Vec<&str> {
    let blocks = text.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| Some(block.split_once('\n')?.1));
    let all = [text].into_iter().chain(blocks);
    all.filter(|text| is_script(text)).collect()
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let entries = WalkDir::new(paths::root()).into_iter();
    let entries = entries.filter_entry(|entry| {
        let name = entry.file_name();
        name != ".git" && name != "target"
    });
    let (mut seen, mut said) = (Vec::new(), String::new());
    for entry in entries {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let path = entry.path().strip_prefix(paths::root()).unwrap();
        for script in scripts(&text) {
            seen.push(path.display().to_string());
            if let Some(wrong) = wrong(script) {
                said += &format!("{}: {wrong}\n", path.display());
            }
        }
    }
    assert!(said.is_empty(), "{said}");
    for known in [
        ".ci/run",
        "linker/inlining.sh",
        "xtask/profiles/README.md",
        "xtask/src/release/hooks/56-toehold.install",
    ] {
        assert!(seen.iter().any(|path| path == known), "{known}: {seen:?}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let page = "# A page\n\n```ini\na=b\n```\n\n```sh\n#!/bin/sh -eu\necho $1\n```\n\n```sh\necho $2\n```\n";
    assert_eq!(scripts(page), ["#!/bin/sh -eu\necho $1"]);
    let said = wrong(scripts(page)[0]).unwrap();
    assert!(said.contains("SC2086"), "{said}");
    assert_eq!(wrong("#!/bin/sh -eu\necho \"$1\"\n"), None);
    assert!(!is_script("#!/usr/bin/python3\n") && !is_script("# sh\n"));
    assert!(is_script("#!/usr/bin/env bash\n"));
}
