//! Where things lie: the repository and everything below `target/toehold`.

use std::path::{Path, PathBuf};

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

/// The stripped init of an architecture, with these cargo features.
pub fn init(arch: Arch, features: &[&str]) -> PathBuf {
    output()
        .join(arch.name())
        .join([&["init"], features].concat().join("-"))
}
