//! Where things lie: the repository and everything below `target/toehold`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result};

use builder::arch::Arch;

/// The repository's root. It is found when it is asked for, so that no program that is made from this has the path in it.
///
/// # Panics
///
/// Where there is no repository: what ships without one does not ask.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let program = env::current_exe().ok();
        find(package.as_deref(), program.as_deref()).expect(
            "no repository above CARGO_MANIFEST_DIR or this program: run it with `cargo xtask` in a checkout",
        )
    })
}

/// The nearest folder with this package in it, above the package that cargo runs or above the program.
fn find(package: Option<&Path>, program: Option<&Path>) -> Option<PathBuf> {
    let above = |path: Option<&Path>| {
        let mut folders = path.into_iter().flat_map(Path::ancestors);
        let found = folders.find(|folder| folder.join("xtask/Cargo.toml").is_file());
        found.map(Path::to_owned)
    };
    above(package).or_else(|| above(program))
}

/// Cargo as it runs this program, else the one on the `PATH`.
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Everything that xtask makes: `target/toehold`.
pub fn output() -> PathBuf {
    root().join("target/toehold")
}

/// The text of a file of the repository.
pub fn text(name: &str) -> Result<String> {
    let path = root().join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A folder below [`output`] that goes when it is dropped; large files need not fit into `/tmp`.
pub fn room() -> Result<tempfile::TempDir> {
    let folder = output();
    fs::create_dir_all(&folder)
        .and_then(|()| tempfile::tempdir_in(&folder))
        .with_context(|| format!("cannot make a folder in {}", folder.display()))
}

/// The stripped init of an architecture.
pub fn init(arch: Arch) -> PathBuf {
    output().join(arch.name()).join("init")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_above_the_package_or_the_program() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().join("checkout");
        fs::create_dir_all(root.join("xtask")).unwrap();
        let program = root.join("target/debug/xtask");
        assert_eq!(find(None, Some(&program)), None);
        fs::write(root.join("xtask/Cargo.toml"), "").unwrap();
        assert_eq!(find(None, Some(&program)).as_ref(), Some(&root));
        let elsewhere = room.path().join("elsewhere");
        let package = root.join("xtask");
        assert_eq!(find(Some(&package), Some(&elsewhere)).as_ref(), Some(&root));
        assert_eq!(find(Some(&elsewhere), Some(&program)).as_ref(), Some(&root));
        assert_eq!(find(None, Some(&elsewhere)), None);
    }
}
