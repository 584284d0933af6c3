//! What runs in the guest after Toehold: the stage-2 program, and the host's veritysetup and dmsetup with their libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{paths, tools};

/// The files of the stage-2 image.
pub struct Stage2 {
    /// Path in the image (without the first `/`) and on the host.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Stage2 {
    /// Builds the stage-2 program and finds the rest on the host.
    pub fn find() -> Result<Self> {
        let mut files = vec![("init".into(), program("toehold-stage2")?)];
        let mut libraries = BTreeSet::new();
        for tool in [tools::VERITYSETUP, tools::DMSETUP] {
            let path = tool
                .find()
                .with_context(|| format!("{} is missing", tool.binary))?;
            libraries.extend(closure(&path)?);
            files.push((Path::new("usr/sbin").join(tool.binary), path));
        }
        files.extend(libraries.into_iter().map(|path| {
            let inside = path.strip_prefix("/").unwrap_or(&path).to_owned();
            (inside, path)
        }));
        Ok(Self { files })
    }

    /// Changes whenever one of the files does.
    pub fn fingerprint(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for (inside, path) in &self.files {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            all.extend(crate::cache::key(&[inside.as_os_str().as_encoded_bytes(), &bytes]).bytes());
        }
        Ok(all)
    }

    /// Lays the image's tree out in the new folder `root`.
    pub fn lay_out(&self, root: &Path) -> Result<()> {
        for folder in ["dev", "proc", "sys", "run", "sysusr/usr", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for (inside, path) in &self.files {
            let to = root.join(inside);
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            fs::copy(path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        Ok(())
    }
}

/// Builds a program of the workspace for the guest, linked statically: what the bench measures up to is stage 2's first
/// line, not the loading of libraries.
pub fn program(package: &str) -> Result<PathBuf> {
    let target = paths::root().join("target");
    let triple = "x86_64-unknown-linux-gnu";
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", package])
        .args(["--target", triple])
        .args(["--config", "profile.release.strip=true"])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .current_dir(paths::root())
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {package}; its messages stand above"
    );
    Ok(target.join(triple).join("release").join(package))
}

/// The shared libraries that a program of the host loads, and its loader.
fn closure(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let listing = tools::capture(Command::new("ldd").arg(program))?;
    Ok(libraries(&listing))
}

/// The paths in what `ldd` prints: `name => /path (address)`, and `/path (address)` for the loader.
pub fn libraries(listing: &str) -> BTreeSet<PathBuf> {
    listing
        .lines()
        .filter_map(|line| {
            let path = line.split_once("=>").map_or(line, |(_, path)| path);
            let path = path.split_whitespace().next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        let found = libraries(listing);
        let expected = ["/lib/x/libc.so.6", "/lib64/ld.so.2"].map(PathBuf::from);
        assert_eq!(found, expected.into());
    }
}
