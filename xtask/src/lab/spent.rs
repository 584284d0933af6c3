//! Where the time of a test run goes: what builds, packs, makes disks or boots says so in a file that `cargo xtask test` names.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The variable of the environment that names the file. Without it nothing is kept.
pub const FILE: &str = "TOEHOLD_SPENT";

/// Work under way; it is over when this is dropped.
pub struct Span {
    what: &'static str,
    started: Instant,
}

/// Begins work of a kind, which is one word.
pub fn on(what: &'static str) -> Span {
    Span {
        what,
        started: Instant::now(),
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os(FILE) else {
            return;
        };
        let line = format!("{} {}\n", self.what, self.started.elapsed().as_millis());
        // One write for a line: many processes write there. What cannot be kept is missing from a statistic, no more.
        let file = OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Reads what was kept: for each kind, how often and how long.
pub fn read(path: &Path) -> Result<BTreeMap<String, (usize, Duration)>> {
    let mut kinds = BTreeMap::<_, (usize, Duration)>::new();
    if !path.exists() {
        return Ok(kinds);
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    for line in text.lines() {
        let (what, millis) = line.split_once(' ').context("a line without a time")?;
        let millis = millis.parse().with_context(|| format!("{line}: no time"))?;
        let kind = kinds.entry(what.to_owned()).or_default();
        kind.0 += 1;
        kind.1 += Duration::from_millis(millis);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_added_up() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("spent");
        assert!(read(&path).unwrap().is_empty());
        fs::write(&path, "disks 20\nboots 1000\ndisks 5\n").unwrap();
        let kinds = read(&path).unwrap();
        assert_eq!(kinds["disks"], (2, Duration::from_millis(25)));
        assert_eq!(kinds["boots"], (1, Duration::from_secs(1)));
        fs::write(&path, "disks\n").unwrap();
        assert!(read(&path).is_err());
    }
}
