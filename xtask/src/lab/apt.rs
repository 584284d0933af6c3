//! Debian packages fetched with a private apt directory, and unpacked: the machine's own package state is not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lab::{cache, paths, tools};
use builder::arch::Arch;

pub mod sources;

/// A private apt directory for one Debian suite: its own lists, cache and state.
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Opens the directory for a suite (`bookworm`) and its packages for an architecture, fetching its package lists when it is new.
    pub fn open(suite: &str, arch: Arch) -> Result<Self> {
        let sources = sources::private(Path::new("/"), suite, std::env::var(sources::MIRROR).ok())?;
        let name = format!("{suite}-{arch}-{}", cache::key(&[sources.as_bytes()]));
        let folder = paths::output().join("kernels/apt").join(name);
        let folder = cache::folder(&folder, |folder| {
            for part in ["lists/partial", "archives/partial"] {
                fs::create_dir_all(folder.join(part))?;
            }
            fs::write(folder.join("status"), "")?;
            fs::write(folder.join("debian.sources"), &sources)?;
            fs::write(folder.join("apt.conf"), configuration(folder, suite, arch))?;
            let apt = Self {
                folder: folder.to_owned(),
            };
            apt.update()
        })?;
        Ok(Self { folder })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.join("apt.conf"));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    fn update(&self) -> Result<()> {
        let mut update = self.command("apt-get");
        tools::run(update.args(["update", "--error-on=any"]))
            .context("cannot fetch Debian's package lists")?;
        Ok(())
    }

    /// Runs `fetch`, and once more with new package lists if it fails: the lists may name files that the mirror no
    /// longer has.
    pub fn fresh<T>(&self, fetch: impl Fn() -> Result<T>) -> Result<T> {
        let _lock = cache::lock(&self.folder.join("private.lock"))?;
        fetch().or_else(|_| {
            self.update()?;
            fetch()
        })
    }

    /// The names in a package's `Depends:`, alternatives one after the other.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let mut show = self.command("apt-cache");
        let stanza = tools::capture(show.args(["show", "--no-all-versions", package]))?;
        Ok(dependencies(&stanza))
    }

    /// The package that a metapackage stands for: the one among its dependencies whose name begins with `prefix`.
    pub fn resolve(&self, metapackage: &str, prefix: &str) -> Result<String> {
        self.dependencies(metapackage)?
            .into_iter()
            .find(|name| name.starts_with(prefix))
            .with_context(|| format!("{metapackage} depends on no package named {prefix}…"))
    }

    /// Downloads one package and unpacks it into `root`, without what it depends on; within [`Apt::fresh`].
    pub fn unpack(&self, package: &str, root: &Path) -> Result<()> {
        let mut download = self.command("apt-get");
        tools::run(download.args(["download", package]).current_dir(root))?;
        for deb in debs(root)? {
            unpack(&deb, root)?;
            fs::remove_file(deb)?;
        }
        Ok(())
    }

    /// Downloads packages with everything that they depend on, and unpacks all of it into `root`.
    pub fn unpack_closure(&self, packages: &[&str], root: &Path) -> Result<()> {
        let archives = self.folder.join("archives");
        self.fresh(|| {
            for deb in debs(&archives)? {
                fs::remove_file(deb)?;
            }
            let mut install = self.command("apt-get");
            let options = [
                "install",
                "-y",
                "--download-only",
                "--no-install-recommends",
            ];
            tools::run(install.args(options).args(packages))
        })?;
        let debs = debs(&archives)?;
        ensure!(!debs.is_empty(), "apt-get downloaded nothing");
        for deb in debs {
            unpack(&deb, root)?;
            fs::remove_file(deb)?;
        }
        Ok(())
    }
}

/// Unpacks a `.deb` into `root` without running anything in it.
fn unpack(deb: &Path, root: &Path) -> Result<()> {
    let mut command = tools::DPKG_DEB.command()?;
    tools::run(command.arg("-x").arg(deb).arg(root))?;
    Ok(())
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut debs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            debs.push(path);
        }
    }
    Ok(debs)
}

/// The names in a stanza's `Depends:`, without versions.
fn dependencies(stanza: &str) -> Vec<String> {
    stanza
        .lines()
        .find_map(|line| line.strip_prefix("Depends:"))
        .unwrap_or_default()
        .split([',', '|'])
        .filter_map(|package| package.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// apt's configuration for a private directory. The machine's own is read before it, for the sake of its proxies and
/// mirrors' credentials, and the hooks in it are dropped.
fn configuration(folder: &Path, suite: &str, arch: Arch) -> String {
    let (folder, arch) = (folder.display(), arch.debian());
    // A suite that adds to another is taken from only where that is asked for.
    let release = match sources::base(suite) == suite {
        true => String::new(),
        false => format!("APT::Default-Release \"{suite}\";\n"),
    };
    format!(
        r#"{release}Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{folder}/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{folder}";
#clear APT::Architectures;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Binary::apt-get::Acquire::Retries "3";
Debug::NoLocking "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_without_versions_and_alternatives_one_by_one() {
        let stanza = "Package: linux-image-cloud-amd64\nVersion: 6.1.1-1\n\
                      Depends: initramfs-tools | dracut, linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)\n";
        let names = [
            "initramfs-tools",
            "dracut",
            "linux-image-6.1.0-1-cloud-amd64",
        ];
        assert_eq!(dependencies(stanza), names);
        assert_eq!(dependencies("Package: nothing\n"), [""; 0]);
    }
}
