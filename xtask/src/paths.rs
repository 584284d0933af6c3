//! Where things lie: the repository and everything below `target/toehold`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::arch::Arch;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
}

/// Everything that xtask makes: `target/toehold`.
pub fn output() -> PathBuf {
    root().join("target/toehold")
}

/// A folder below [`output`] that goes when it is dropped; large files need not fit into `/tmp`.
pub fn room() -> Result<tempfile::TempDir> {
    let folder = output();
    fs::create_dir_all(&folder)
        .and_then(|()| tempfile::tempdir_in(&folder))
        .with_context(|| format!("cannot make a folder in {}", folder.display()))
}

/// The stripped init of an architecture, with these cargo features.
pub fn init(arch: Arch, features: &[&str]) -> PathBuf {
    output()
        .join(arch.name())
        .join([&["init"], features].concat().join("-"))
}
