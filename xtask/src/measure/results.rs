//! What was seen to boot: one empty file for each combination below `target/toehold/results`, made by the tests, and the table of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::lab::paths;

/// A boot that a test has seen through to its end, everything asserted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Booted {
    /// As `6.12`.
    pub kernel: String,
    pub arch: String,
    /// What kind of boot, as `usr`, `root`, `netboot`.
    pub mode: String,
    /// Of the filesystem that was looked for.
    pub filesystem: String,
}

/// Between the parts of a file's name.
const SEPARATOR: char = ',';

fn folder() -> PathBuf {
    paths::output().join("results")
}

/// Forgets what earlier runs have seen.
pub fn clear() -> Result<()> {
    match fs::remove_dir_all(folder()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", folder().display()))
        }
        _ => Ok(()),
    }
}

impl Booted {
    /// Keeps it.
    pub fn record(&self) -> Result<()> {
        let parts = [&self.kernel, &self.arch, &self.mode, &self.filesystem];
        let name = parts.map(String::as_str).join(&SEPARATOR.to_string());
        ensure!(
            Self::parse(&name).as_ref() == Some(self),
            "\"{name}\" cannot be the name of a result"
        );
        let folder = folder();
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(name), ""))
            .with_context(|| format!("cannot write to {}", folder.display()))
    }

    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split(SEPARATOR).collect();
        let [kernel, arch, mode, filesystem] = parts.try_into().ok()?;
        Some(Self {
            kernel: kernel.to_owned(),
            arch: arch.to_owned(),
            mode: mode.to_owned(),
            filesystem: filesystem.to_owned(),
        })
    }
}

/// Everything that the last run has seen.
pub fn read() -> Result<Vec<Booted>> {
    let folder = folder();
    let entries = fs::read_dir(&folder).with_context(|| {
        let folder = folder.display();
        format!("no results in {folder}: `cargo xtask test --all` makes them")
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.push(Booted::parse(&name).with_context(|| format!("{name} is no result"))?);
    }
    found.sort();
    ensure!(!found.is_empty(), "no test has seen a boot");
    Ok(found)
}

/// The table in Markdown: a row for each kernel, architecture and mode, a column for each filesystem.
pub fn table(results: &[Booted]) -> String {
    let filesystems: BTreeSet<&str> = results.iter().map(|one| one.filesystem.as_str()).collect();
    let mut rows: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for one in results {
        // By number: 6.12 is newer than 6.2.
        let parts = one.kernel.split('.');
        let version: Vec<u32> = parts.filter_map(|part| part.parse().ok()).collect();
        let row = (&one.mode, &one.arch, version, &one.kernel);
        rows.entry(row).or_default().insert(&one.filesystem);
    }
    let mut table = "| mode | architecture | Linux |".to_owned();
    for filesystem in &filesystems {
        table += &format!(" {filesystem} |");
    }
    table += &format!(
        "\n|{}{}\n",
        "---|".repeat(3),
        ":-:|".repeat(filesystems.len())
    );
    for ((mode, arch, _, kernel), has) in rows {
        table += &format!("| {mode} | {arch} | {kernel} |");
        for filesystem in &filesystems {
            table += if has.contains(filesystem) {
                " ✓ |"
            } else {
                " |"
            };
        }
        table += "\n";
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_order() {
        let names = [
            "6.12,x86_64,usr,erofs",
            "6.2,x86_64,usr,btrfs",
            "6.12,x86_64,usr,btrfs",
            "7.2,aarch64,root,erofs",
        ];
        let results: Vec<Booted> = names
            .iter()
            .filter_map(|name| Booted::parse(name))
            .collect();
        let table = table(&results);
        let want = "| mode | architecture | Linux | btrfs | erofs |\n|---|---|---|:-:|:-:|\n\
            | root | aarch64 | 7.2 | | ✓ |\n| usr | x86_64 | 6.2 | ✓ | |\n| usr | x86_64 | 6.12 | ✓ | ✓ |\n";
        assert_eq!(table, want);
        assert_eq!(Booted::parse("6.1,x86_64,usr"), None);
    }
}
