//! `cargo xtask results`: which kernels, modes and filesystems the last run of all tests has seen to boot.

use anyhow::Result;

use super::print;
use crate::Verdict;
use crate::lab::documents;
use crate::measure::results;

/// The mark in README.md.
const COMMAND: &str = "cargo xtask results";

#[derive(clap::Args)]
pub struct Args {
    /// Put the table into README.md
    #[arg(long)]
    readme: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let table = results::table(&results::read()?);
    if !args.readme {
        print(&table)?;
        return Ok(Verdict::Pass);
    }
    documents::update(documents::README, COMMAND, &table)?;
    Ok(Verdict::Pass)
}

/// Whether README.md has the table of this run; says what to do where it has not.
pub fn check() -> Result<Verdict> {
    let table = results::table(&results::read()?);
    if documents::has(documents::README, COMMAND, &table)? {
        return Ok(Verdict::Pass);
    }
    print(format_args!(
        "\nREADME.md has another table of results than this run, `cargo xtask results --readme` puts it there:\n\n{table}\n"
    ))?;
    Ok(Verdict::Fail)
}
