//! Things made once and kept below `target/toehold`: complete or absent, whoever else is making them at the same time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::paths;

/// Stands in a folder whose making came to its end.
const MARKER: &str = ".complete";

/// Returns `folder`, made by `make` unless an earlier call has done so.
///
/// `make` gets the folder, new and empty. A lock file beside it keeps other processes and threads waiting; what an
/// interrupted run left behind is removed.
pub fn folder(folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let _lock = lock(&folder.with_added_extension("lock"))?;
    let marker = folder.join(MARKER);
    if !marker.exists() {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot remove the unfinished {}", folder.display()))?;
        }
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        make(folder)?;
        File::create(&marker).with_context(|| format!("cannot create {}", marker.display()))?;
    }
    Ok(folder.to_owned())
}

/// Waits for the lock `path` and holds it until the returned file is dropped.
pub fn lock(path: &Path) -> Result<File> {
    let context = || format!("cannot lock {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    let file = File::create(path).with_context(context)?;
    file.lock().with_context(context)?;
    Ok(file)
}

/// What this process makes once, by a key.
pub struct Once<K, V>(Mutex<BTreeMap<K, V>>);

impl<K: Ord, V: Clone> Once<K, V> {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// What was made before, or what is made now; others wait so long.
    pub fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<V> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.get(&key) {
            return Ok(found.clone());
        }
        let value = make()?;
        made.insert(key, value.clone());
        Ok(value)
    }
}

impl<K: Ord, V: Clone> Default for Once<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// What `make` returns, kept in `file` from then on.
pub fn file(file: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let _lock = lock(&file.with_added_extension("lock"))?;
    if let Ok(kept) = fs::read(file) {
        return Ok(kept);
    }
    let made = make()?;
    let unfinished = file.with_added_extension("new");
    fs::write(&unfinished, &made)
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(made)
}

/// A name for what is made from these inputs: 16 hexadecimal digits of their SHA-256.
pub fn key(inputs: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hexadecimal(&hash.finalize()[..8])
}

/// The key of what is made from these files and folders of the repository, all that is in them, and from the texts in `more`.
pub fn key_of_sources(paths: &[&str], more: &[&str]) -> Result<String> {
    let root = paths::root();
    let mut parts: Vec<Vec<u8>> = more.iter().map(|text| text.as_bytes().to_vec()).collect();
    for path in paths {
        for entry in WalkDir::new(root.join(path)).sort_by_file_name() {
            let entry = entry?;
            if entry.file_type().is_file() {
                let inside = entry.path().strip_prefix(root)?;
                parts.push(inside.as_os_str().as_encoded_bytes().to_vec());
                let text = fs::read(entry.path());
                parts.push(text.with_context(|| format!("cannot read {}", inside.display()))?);
            }
        }
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(key(&parts))
}

/// Makes the files `made` with `make`, unless they are there and were made for the same key. One process does it, others wait.
pub fn files(made: &[&Path], key: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let first = made.first().context("nothing to make")?;
    let _lock = lock(&first.with_added_extension("lock"))?;
    let note = first.with_added_extension("key");
    let is_same = fs::read_to_string(&note).is_ok_and(|kept| kept == key);
    if is_same && made.iter().all(|file| file.is_file()) {
        return Ok(());
    }
    make()?;
    fs::write(&note, key).with_context(|| format!("cannot write {}", note.display()))
}

/// The SHA-256 of these bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_making_is_done_again_and_a_finished_one_is_not() {
        let room = tempfile::tempdir().unwrap();
        let target = room.path().join("thing");
        let broken = folder(&target, |path| {
            fs::write(path.join("half"), "x")?;
            anyhow::bail!("interrupted")
        });
        assert!(broken.is_err());
        folder(&target, |path| Ok(fs::write(path.join("whole"), "x")?)).unwrap();
        assert!(!target.join("half").exists());
        folder(&target, |_| panic!("made twice")).unwrap();
        assert!(target.join("whole").exists());
    }

    #[test]
    fn files_are_made_again_for_another_key_or_when_one_is_gone() {
        let room = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| room.path().join(name));
        let made = [paths[0].as_path(), &paths[1]];
        let make = || made.iter().try_for_each(|path| Ok(fs::write(path, "x")?));
        files(&made, "a", make).unwrap();
        files(&made, "a", || panic!("made twice")).unwrap();
        assert!(files(&made, "b", || anyhow::bail!("another")).is_err());
        files(&made, "b", make).unwrap();
        fs::remove_file(&paths[1]).unwrap();
        files(&made, "b", make).unwrap();
        assert!(paths[1].is_file());
    }

    #[test]
    fn the_key_of_sources_is_that_of_every_file() {
        let key = |paths: &[&str]| key_of_sources(paths, &[]).unwrap();
        assert_eq!(key(&["src", "Cargo.lock"]), key(&["src", "Cargo.lock"]));
        assert_ne!(key(&["src"]), key(&["src", "Cargo.lock"]));
        let with = key_of_sources(&["src"], &["flag"]).unwrap();
        assert_ne!(key(&["src"]), with);
    }

    #[test]
    fn the_key_tells_where_one_input_ends() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
    }
}
