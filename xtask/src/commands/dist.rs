//! `cargo xtask dist`: the release archive, and its checksum.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use super::bench;
use crate::Verdict;
use crate::lab::disk::Disk;
use crate::lab::{cache, documents, paths};
use crate::release::manual::json::table;
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
        for (name, table) in forms() {
            documents::update(PAGE, name, &table)?;
        }
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
