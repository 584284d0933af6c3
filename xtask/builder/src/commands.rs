//! The command lines: `Args` for clap, and `run`. This room may use all others.

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

/// Writes a result to standard output. Whoever reads it, `head` for example, may have seen enough before its end.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
