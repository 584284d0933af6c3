//! Which of two modules with one name counts: depmod's order.
//!
//! Source: depmod.d(5), and `depmod_module_is_higher_priority` in kmod's tools/depmod.c.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toehold::format::glob;

use super::catalogue::folded;

/// Where rules stand below the root that the modules belong to; a file hides those with its name in later folders.
const FOLDERS: [&str; 5] = [
    "etc/depmod.d",
    "run/depmod.d",
    "usr/local/lib/depmod.d",
    "usr/lib/depmod.d",
    "lib/depmod.d",
];
/// What stands for all folders that are not named.
const BUILT_IN: &str = "built-in";

/// The order in which folders below the modules directory count.
#[derive(Debug)]
pub struct Search {
    /// The first counts most.
    folders: Vec<String>,
    /// Of a module with this name the one in this folder counts, whatever the order.
    overrides: Vec<(String, String)>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            folders: ["updates", BUILT_IN].map(str::to_owned).into(),
            overrides: Vec::new(),
        }
    }
}

impl Search {
    /// The rules for `…/lib/modules/<release>`, of the root that it lies in.
    pub fn read(modules_dir: &Path) -> Result<Self> {
        let release = modules_dir.file_name().unwrap_or_default();
        let mut texts = Vec::new();
        for file in files(&root(modules_dir))? {
            let text = fs::read_to_string(&file);
            texts.push(text.with_context(|| format!("cannot read {}", file.display()))?);
        }
        Ok(Self::parse(&texts.concat(), &release.to_string_lossy()))
    }

    fn parse(text: &str, release: &str) -> Self {
        let mut folders = Vec::new();
        let mut overrides = Vec::new();
        // A backslash at its end continues a line.
        for line in text.replace("\\\n", " ").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["search", more @ ..] => folders.extend(more.iter().map(|name| (*name).to_owned())),
                ["override", name, releases, folder]
                    if glob::matches(releases.as_bytes(), release.as_bytes()) =>
                {
                    overrides.push((folded(name), (*folder).to_owned()));
                }
                _ => {}
            }
        }
        let usual = Self::default();
        Self {
            folders: if folders.is_empty() {
                usual.folders
            } else {
                folders
            },
            overrides,
        }
    }

    /// Whether the module `name` at `new` counts instead of the one at `old`; both below the modules directory.
    pub fn prefers(&self, name: &str, new: &Path, old: &Path) -> bool {
        for (overridden, folder) in &self.overrides {
            if *overridden == folded(name) {
                if new.starts_with(folder) {
                    return true;
                }
                if old.starts_with(folder) {
                    return false;
                }
            }
        }
        self.place(new) < self.place(old)
    }

    /// Its folder's place in the order.
    fn place(&self, path: &Path) -> usize {
        let place = |named: &str| self.folders.iter().position(|folder| folder == named);
        let mut folders = self.folders.iter();
        let named = folders.position(|folder| folder != BUILT_IN && path.starts_with(folder));
        named.or_else(|| place(BUILT_IN)).unwrap_or(usize::MAX)
    }
}

/// The root that `…/lib/modules/<release>` lies in: `/usr` may be merged.
fn root(modules_dir: &Path) -> PathBuf {
    let above = modules_dir.ancestors().nth(3).unwrap_or(Path::new(""));
    if above.ends_with("usr") {
        return above.parent().unwrap_or(Path::new("")).to_owned();
    }
    above.to_owned()
}

/// Files with rules, by name.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        let folder = root.join(folder);
        if !folder.is_dir() {
            continue;
        }
        let failed = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(failed)? {
            let file = entry.with_context(failed)?.path();
            if let Some(name) = file.file_name()
                && file
                    .extension()
                    .is_some_and(|extension| extension == "conf")
            {
                files.entry(name.to_owned()).or_insert(file);
            }
        }
    }
    Ok(files.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::Search;
    use std::{fs, path::Path};

    fn prefers(search: &Search, new: &str, old: &str) -> bool {
        search.prefers("dm-mod", Path::new(new), Path::new(old))
    }

    #[test]
    fn without_rules_updates_come_first() {
        let search = Search::default();
        assert!(prefers(&search, "updates/dm-mod.ko", "kernel/dm-mod.ko"));
        assert!(!prefers(&search, "kernel/dm-mod.ko", "updates/dm-mod.ko"));
        assert!(!prefers(&search, "extra/dm-mod.ko", "kernel/dm-mod.ko"));
        assert!(!prefers(&search, "updates2/dm-mod.ko", "kernel/dm-mod.ko"));
    }

    #[test]
    fn rules() {
        let text = "# search nothing\nsearch updates extra \\\n built-in\nsearch weak-updates\n\
                    override dm_mod 6.1-* weak-updates/dm\noverride dm-mod 5.* kernel\n";
        let search = Search::parse(text, "6.1-0");
        assert!(prefers(&search, "extra/dm-mod.ko", "kernel/dm-mod.ko"));
        assert!(!prefers(
            &search,
            "weak-updates/dm-mod.ko",
            "kernel/dm-mod.ko"
        ));
        assert!(prefers(
            &search,
            "weak-updates/dm/dm-mod.ko",
            "updates/dm-mod.ko"
        ));
        assert!(!prefers(
            &search,
            "updates/dm-mod.ko",
            "weak-updates/dm/dm-mod.ko"
        ));
        // It says nothing of others, nor of other kernels.
        let (new, old) = (
            Path::new("weak-updates/dm/loop.ko"),
            Path::new("kernel/loop.ko"),
        );
        assert!(!search.prefers("loop", new, old));
        let search = Search::parse(text, "7.2");
        assert!(!prefers(
            &search,
            "weak-updates/dm/dm-mod.ko",
            "kernel/dm-mod.ko"
        ));
        // Where the order does not name what lies in no named folder, that comes last.
        let search = Search::parse("search extra\n", "7.2");
        assert!(prefers(&search, "extra/dm-mod.ko", "kernel/dm-mod.ko"));
        assert!(!prefers(&search, "kernel/dm-mod.ko", "extra/dm-mod.ko"));
    }

    #[test]
    fn files_of_the_root() {
        for modules in ["lib/modules/6.1", "usr/lib/modules/6.1"] {
            let root = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            write("usr/lib/depmod.d/dist.conf", "search extra built-in\n");
            write("usr/lib/depmod.d/local.conf", "search hidden\n");
            write("etc/depmod.d/local.conf", "search local\n");
            write("etc/depmod.d/notes.txt", "search notes\n");
            let search = Search::read(&root.path().join(modules)).unwrap();
            assert_eq!(search.folders, ["extra", "built-in", "local"]);
        }
        let empty = tempfile::tempdir().unwrap();
        let search = Search::read(&empty.path().join("lib/modules/6.1")).unwrap();
        assert_eq!(search.folders, ["updates", "built-in"]);
    }
}
