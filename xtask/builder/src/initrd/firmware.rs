//! Files of firmware, as the kernel and its packages lay them out.
//!
//! Source: Documentation/driver-api/firmware/fw_search_path.rst; names with wildcards are what drivers declare, and what dracut takes.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use globset::GlobBuilder;
use walkdir::WalkDir;

/// What the kernel tries behind a name.
const SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];
/// What makes a name a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// Folders with firmware, in the order in which the kernel looks into them.
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// The folders of a kernel of this release below each of these.
    pub fn new<'a>(roots: impl Iterator<Item = &'a PathBuf>, release: &OsStr) -> Self {
        let below = |root: &PathBuf| {
            let updates = root.join("updates");
            [
                updates.join(release),
                updates,
                root.join(release),
                root.clone(),
            ]
        };
        Self(
            roots
                .flat_map(below)
                .filter(|folder| folder.is_dir())
                .collect(),
        )
    }

    /// The files for a name that a module declares, each with the name that it gets below lib/firmware.
    pub fn find(&self, name: &str) -> Result<Vec<(String, PathBuf)>> {
        if !name.contains(WILDCARDS) {
            return Ok(self.one(name).into_iter().collect());
        }
        let glob = GlobBuilder::new(name).literal_separator(true).build();
        let glob = glob.with_context(|| format!("firmware \"{name}\" is no glob pattern"))?;
        let matcher = glob.compile_matcher();
        // Where the first wildcard is, the folder is known that all matches lie below.
        let literal = name.split(WILDCARDS).next().unwrap_or_default();
        let parent = literal.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut found = BTreeMap::new();
        for folder in &self.0 {
            // A link to nowhere is no firmware.
            let files = WalkDir::new(folder.join(parent)).follow_links(true);
            for file in files.into_iter().filter_map(Result::ok) {
                let path = file.path().strip_prefix(folder).unwrap_or(file.path());
                if let Some(path) = plain(path).filter(|path| matcher.is_match(path)) {
                    found.extend(self.one(path));
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The file with this name. The kernel looks for a compressed one when the plain one is nowhere.
    fn one(&self, name: &str) -> Option<(String, PathBuf)> {
        SUFFIXES.iter().find_map(|suffix| {
            let name = format!("{name}{suffix}");
            let files = self.0.iter().map(|folder| folder.join(&name));
            let file = files.into_iter().find(|file| file.is_file())?;
            Some((name, file))
        })
    }
}

/// The path without the suffix of a compression.
fn plain(path: &Path) -> Option<&str> {
    let path = path.to_str()?;
    let packed = SUFFIXES[1..]
        .iter()
        .find_map(|suffix| path.strip_suffix(suffix));
    Some(packed.unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::Folders;
    use std::{ffi::OsStr, fs, os::unix::fs::symlink};

    #[test]
    fn found_as_the_kernel_finds_it() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().to_owned();
        for file in [
            "a.bin",
            "b.bin.xz",
            "updates/a.bin",
            "updates/6.1/c.bin",
            "6.1/c.bin",
            "c.bin",
            "6.1/d.bin.zst",
            "d.bin",
            "v/fw_1.bin.xz",
            "v/fw_2.bin",
            "v/fw_2.txt",
            "updates/v/fw_2.bin",
            "v/deep/fw_3.bin",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        symlink("nowhere", root.join("v/fw_4.bin")).unwrap();
        let folders = Folders::new([root].iter(), OsStr::new("6.1"));
        let contents = |name: &str| -> Vec<String> {
            let found = folders.find(name).unwrap().into_iter();
            found
                .map(|(name, file)| format!("{name}: {}", fs::read_to_string(file).unwrap()))
                .collect()
        };
        assert_eq!(contents("a.bin"), ["a.bin: updates/a.bin"]);
        assert_eq!(contents("b.bin"), ["b.bin.xz: b.bin.xz"]);
        assert_eq!(contents("c.bin"), ["c.bin: updates/6.1/c.bin"]);
        assert_eq!(contents("d.bin"), ["d.bin: d.bin"]);
        assert_eq!(contents("e.bin"), [""; 0]);
        assert_eq!(
            contents("v/fw_*.bin"),
            [
                "v/fw_1.bin.xz: v/fw_1.bin.xz",
                "v/fw_2.bin: updates/v/fw_2.bin"
            ]
        );
        assert_eq!(contents("v/fw_[13].bin"), ["v/fw_1.bin.xz: v/fw_1.bin.xz"]);
        assert_eq!(contents("w/*"), [""; 0]);
    }
}
