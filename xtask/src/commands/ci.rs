//! `cargo xtask ci`: what CI runs, locally: the format, the lints, every test and the size gate.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{defaults, test};
use crate::Verdict;
use crate::lab::paths;

#[derive(clap::Args)]
pub struct Args {}

/// Name, and cargo's arguments. The freestanding binary is not among `--all-targets` without its feature.
const CHECKS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
    ),
    (
        "lints of the init",
        &[
            "clippy",
            "--package",
            "toehold",
            "--bin",
            "init",
            "--features",
            "freestanding",
            "--profile",
            "init",
            "--",
            "--deny",
            "warnings",
        ],
    ),
];

pub fn run(_: Args) -> Result<Verdict> {
    let mut failed = Vec::new();
    for (name, arguments) in CHECKS {
        println!("\n== {name}: cargo {}", arguments.join(" "));
        let status = Command::new(paths::cargo())
            .args(*arguments)
            .current_dir(paths::root())
            .stdin(Stdio::null())
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            failed.push(*name);
        }
    }
    let mut tests: test::Args = defaults()?;
    tests.all = true;
    let tests = test::run(tests)?;
    if failed.is_empty() {
        return Ok(tests);
    }
    eprintln!("\nfailed besides the tests: {}", failed.join(", "));
    Ok(Verdict::Fail)
}
