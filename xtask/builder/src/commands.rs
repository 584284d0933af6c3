//! The command lines: `Args` for clap, and `run`. This room may use all others.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

pub mod check;
pub mod coverage;
pub mod extract;
pub mod initrd;
pub mod list;
pub mod mkinitrd;
pub mod plan;
pub mod profile;

/// Writes to standard output. Whoever reads it, `head` for example, may have seen enough before its end; what was begun is done nevertheless.
pub fn print(text: impl Display) -> Result<()> {
    match write!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
