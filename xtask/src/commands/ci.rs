//! `cargo xtask ci`: what CI runs, locally: the format, the lints, every test, some seconds of fuzzing and the size gate.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::test::{self, Check};
use super::{defaults, fuzz};
use crate::Verdict;
use crate::lab::paths;

#[derive(clap::Args)]
pub struct Args {}

/// Seconds for each fuzz target.
const FUZZING: u32 = 5;

/// Name, how long it takes in seconds, about, and cargo's arguments. The freestanding binary is not among `--all-targets` without its feature.
const CHECKS: &[(&str, u64, &str)] = &[
    ("format", 1, "fmt --all --check"),
    (
        "lints",
        400,
        "clippy --workspace --all-targets -- --deny warnings",
    ),
    (
        "lints of the init",
        350,
        "clippy --package toehold --bin init --features freestanding --profile init -- --deny warnings",
    ),
];

pub fn run(_: Args) -> Result<Verdict> {
    let mut checks: Vec<Check> = Vec::new();
    for (name, seconds, arguments) in CHECKS {
        let mut command = Command::new(paths::cargo());
        command
            .args(arguments.split(' '))
            .current_dir(paths::root());
        checks.push(Check {
            name,
            command,
            wall: Duration::from_secs(*seconds),
        });
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fuzz", "--seconds", &FUZZING.to_string()]);
    checks.push(Check {
        name: "fuzz targets",
        command,
        wall: Duration::from_secs(300 + u64::from(FUZZING) * fuzz::targets()?.len() as u64),
    });
    let mut tests: test::Args = defaults()?;
    tests.all = true;
    test::run_with(tests, checks)
}
