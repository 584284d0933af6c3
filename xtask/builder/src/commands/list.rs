//! `cargo xtask list`: what any initrd holds, piece by piece.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::print;
use crate::{Verdict, archive::read, look::contents::Contents, uki};

#[derive(clap::Args)]
pub struct Args {
    /// The initrd, whoever made it, or a unified kernel image
    initrd: PathBuf,
    /// For tools: everything as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let file = read(&args.initrd)?;
    let cannot = || format!("cannot read {} to its end", args.initrd.display());
    let (offset, initrd) = uki::initrd(&file).with_context(cannot)?;
    let (contents, result) = Contents::read(offset, initrd);
    if !args.json {
        print(contents.text())?;
    }
    result.with_context(cannot)?;
    if args.json {
        print(&(serde_json::to_string_pretty(&contents)? + "\n"))?;
    }
    Ok(Verdict::Pass)
}
