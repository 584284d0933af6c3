//! `cargo xtask results`: which kernels, modes and filesystems the last run of all tests has seen to boot.

use std::fs;

use anyhow::{Context, Result};

use crate::{Verdict, paths, results};

#[derive(clap::Args)]
pub struct Args {
    /// Put the table into README.md
    #[arg(long)]
    readme: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let table = results::table(&results::read()?);
    if !args.readme {
        super::print(&table)?;
        return Ok(Verdict::Pass);
    }
    let path = paths::root().join("README.md");
    let old = fs::read_to_string(&path)?;
    let new = results::put_into(&old, &table).context("README.md")?;
    if new != old {
        fs::write(&path, new).context("cannot write README.md")?;
    }
    Ok(Verdict::Pass)
}

/// Whether README.md has the table of this run; says what to do where it has not.
pub fn check() -> Result<Verdict> {
    let table = results::table(&results::read()?);
    let text = fs::read_to_string(paths::root().join("README.md"))?;
    if results::put_into(&text, &table).context("README.md")? == text {
        return Ok(Verdict::Pass);
    }
    println!(
        "\nREADME.md has another table of results than this run, `cargo xtask results --readme` puts it there:\n\n{table}"
    );
    Ok(Verdict::Fail)
}
