//! `cargo xtask dist`: the release archive, and its checksum.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::Verdict;
use crate::lab::{cache, paths};
use crate::release::{dist, manual};

#[derive(clap::Args)]
pub struct Args {
    /// Where to put the archive and SHA256SUMS [default: target/toehold/dist]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write what is generated in the manual's pages of this checkout, and nothing else
    #[arg(long, conflicts_with = "out")]
    pages: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    if args.pages {
        manual::update()?;
        return Ok(Verdict::Pass);
    }
    let folder = args.out.unwrap_or_else(|| paths::output().join("dist"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let archive = dist::build()?;
    let name = dist::file_name();
    let sums = format!("{}  {name}\n", cache::digest(&archive));
    for (name, bytes) in [
        (name.as_str(), archive.as_slice()),
        ("SHA256SUMS", sums.as_bytes()),
    ] {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}  {} bytes", folder.join(name).display(), archive.len());
    Ok(Verdict::Pass)
}
