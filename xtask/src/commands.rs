//! The subcommands, one file each: `Args` for clap, and `run`.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

pub mod bench;
pub mod boot;
pub mod build;
pub mod chart;
pub mod ci;
pub mod coverage;
pub mod image;
pub mod initrd;
pub mod plan;
pub mod size;
pub mod test;

/// A subcommand's arguments as they are when none is given.
fn defaults<A: clap::Args>() -> Result<A> {
    let command = A::augment_args(clap::Command::new("xtask"));
    Ok(A::from_arg_matches(
        &command.try_get_matches_from(["xtask"])?,
    )?)
}

/// Writes a result to standard output. Whoever reads it, `head` for example, may have seen enough before its end.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
