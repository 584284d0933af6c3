//! `cargo xtask dist`: the release archive, with `--deb` a Debian package, and their checksums.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Verdict;
use crate::lab::{cache, paths};
use crate::release::{
    deb,
    dist::{self, Release},
    manual,
};

#[derive(clap::Args)]
pub struct Args {
    /// Where to put what is made, and SHA256SUMS [default: target/toehold/dist]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A Debian package, too
    #[arg(long)]
    deb: bool,
    /// Write what is generated in the manual's pages of this checkout, and nothing else
    #[arg(long, conflicts_with_all = ["out", "deb"])]
    pages: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    if args.pages {
        manual::update()?;
        return Ok(Verdict::Pass);
    }
    let folder = args.out.unwrap_or_else(|| paths::output().join("dist"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let release = Release::build()?;
    let mut made = vec![(dist::file_name(), release.archive()?)];
    if args.deb {
        made.push((deb::file_name()?, release.deb()?));
    }
    let mut sums = String::new();
    for (name, bytes) in &made {
        let path = write(&folder, name, bytes)?;
        println!("{}  {} bytes", path.display(), bytes.len());
        sums += &format!("{}  {name}\n", cache::digest(bytes));
    }
    write(&folder, "SHA256SUMS", sums.as_bytes())?;
    Ok(Verdict::Pass)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
