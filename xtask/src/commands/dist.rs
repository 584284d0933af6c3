//! `cargo xtask dist`: the release archive, with `--deb` a Debian package, and their checksums.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{bench, print};
use crate::Verdict;
use crate::lab::disk::Disk;
use crate::lab::{cache, documents, paths};
use crate::release::manual::json::table;
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
        for (name, table) in forms() {
            documents::update(PAGE, name, &table)?;
        }
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
        print(format_args!("{}  {} bytes\n", path.display(), bytes.len()))?;
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

/// The developer's page.
const PAGE: &str = "xtask/README.md";

/// What commands write as JSON, as that page has it; the manual has what the builder writes, and `size --schema` tells of the rest.
fn forms() -> [(&'static str, String); 3] {
    [
        ("image", table::<Disk>()),
        ("bench --json", table::<bench::Figures>()),
        ("bench sizes --json", table::<bench::sizes::Figures>()),
    ]
}

#[cfg(test)]
mod tests {
    use super::{PAGE, forms};
    use crate::lab::documents;

    #[test]
    fn the_page_tells_of_every_key_of_json() {
        for (name, table) in forms() {
            assert!(
                !table.contains("|  |") && !table.contains("[`"),
                "{name}: a key without a meaning: {table}"
            );
            let has = documents::has(PAGE, name, &table).unwrap();
            assert!(
                has,
                "{name}: `cargo xtask dist --pages` writes its table anew"
            );
        }
    }
}
