//! THIRD-PARTY: the crates whose code is in the shipped programs, and the texts of their licences, each once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use walkdir::WalkDir;

use super::packages::Packages;

/// How files with a licence's text begin, in capitals.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "UNLICENSE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
];

/// What such files end in that are no texts but programs and data about licences.
const OTHERS: [&str; 6] = ["html", "json", "py", "rs", "sh", "toml"];

/// The page's text.
pub fn page(packages: &Packages) -> Result<String> {
    let mut page = String::from(
        "The programs of this archive have code of these crates in them, and of Rust's standard library (MIT OR Apache-2.0).\n\n",
    );
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((name, version), package) in packages.foreign() {
        let licence = package.licence.as_deref();
        let licence = licence.with_context(|| format!("the crate {name} names no licence"))?;
        let found = find(&package.folder)
            .with_context(|| format!("cannot read the licences of the crate {name}"))?;
        let note = if found.is_empty() {
            "  (its source has no text)"
        } else {
            ""
        };
        let _ = writeln!(page, "{name} {version}  {licence}{note}");
        for (file, text) in found {
            let users = texts.entry(text).or_default();
            users.insert(format!("{name} {version}: {file}"));
        }
    }
    // In the order of the crates.
    let mut texts: Vec<(BTreeSet<String>, String)> = texts
        .into_iter()
        .map(|(text, users)| (users, text))
        .collect();
    texts.sort();
    for (users, text) in texts {
        let _ = write!(page, "\n{}\n", "=".repeat(80));
        for user in users {
            let _ = writeln!(page, "{user}");
        }
        let _ = write!(page, "\n{text}\n");
    }
    Ok(page)
}

/// Paths and texts of the licences in a crate's source, which can have sources of others in it.
fn find(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_licence = NAMES.iter().any(|start| name.starts_with(start));
        let ending = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        if entry.file_type().is_file() && is_licence && !OTHERS.contains(&ending.as_str()) {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&text).replace('\r', "");
            let inside = path.strip_prefix(folder)?.display().to_string();
            found.push((inside, text.trim_matches('\n').to_owned()));
        }
    }
    Ok(found)
}
