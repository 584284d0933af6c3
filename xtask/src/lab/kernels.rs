//! Kernels to boot: Debian's packages, unpacked below `target/toehold/kernels` and never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::lab::apt::Apt;
use crate::lab::{cache, paths, tools};
use builder::arch::Arch;
use builder::progress;

pub mod headers;
mod unpack;

/// The kernels that tests know, by the names that `--kernel` takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, clap::ValueEnum)]
pub enum Series {
    /// Debian 12's kernel for virtual machines.
    #[value(name = "6.1")]
    Cloud61,
    /// Debian 12's kernel for any hardware.
    #[value(name = "6.1-generic")]
    Generic61,
    /// Debian 12's newest kernel for virtual machines; its modules are compressed.
    #[value(name = "6.12")]
    Cloud612,
    /// Debian's development kernel for virtual machines.
    #[value(name = "7.2")]
    Cloud72,
    /// The kernels for virtual machines of the same three, for aarch64.
    #[value(skip)]
    Arm61,
    #[value(skip)]
    Arm612,
    #[value(skip)]
    Arm72,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Cloud61,
        Self::Generic61,
        Self::Cloud612,
        Self::Cloud72,
        Self::Arm61,
        Self::Arm612,
        Self::Arm72,
    ];

    /// The same for an architecture, if it is known there.
    pub fn on(self, arch: Arch) -> Result<Self> {
        let version = self.version();
        let mut all = Self::ALL.into_iter();
        if arch == self.arch() {
            return Ok(self);
        }
        let found = all.find(|other| other.arch() == arch && other.version() == version);
        let found = found.filter(|_| self != Self::Generic61);
        let name = self.name();
        found.with_context(|| {
            format!("kernel {name} is not known for {arch}; 6.1, 6.12 and 7.2 are")
        })
    }

    pub fn arch(self) -> Arch {
        match self {
            Self::Arm61 | Self::Arm612 | Self::Arm72 => Arch::Aarch64,
            _ => Arch::X86_64,
        }
    }

    /// The kernel's version, without what tells builds of the same one apart.
    pub fn version(self) -> &'static str {
        match self {
            Self::Cloud61 | Self::Generic61 | Self::Arm61 => "6.1",
            Self::Cloud612 | Self::Arm612 => "6.12",
            Self::Cloud72 | Self::Arm72 => "7.2",
        }
    }

    /// Of this and no other: [`Self::version`], and what it is built for where that is not x86_64's virtual machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloud61 => "6.1",
            Self::Generic61 => "6.1-generic",
            Self::Cloud612 => "6.12",
            Self::Cloud72 => "7.2",
            Self::Arm61 => "6.1-arm64",
            Self::Arm612 => "6.12-arm64",
            Self::Arm72 => "7.2-arm64",
        }
    }

    /// Suite and metapackage.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Cloud61 => ("bookworm", "linux-image-cloud-amd64"),
            Self::Generic61 => ("bookworm", "linux-image-amd64"),
            Self::Cloud612 => ("bookworm-backports", "linux-image-cloud-amd64"),
            Self::Cloud72 => ("sid", "linux-image-cloud-amd64"),
            Self::Arm61 => ("bookworm", "linux-image-cloud-arm64"),
            Self::Arm612 => ("bookworm-backports", "linux-image-cloud-arm64"),
            Self::Arm72 => ("sid", "linux-image-cloud-arm64"),
        }
    }
}

/// How the packages are named that a kernel is split into.
const PARTS: [&str; 3] = ["linux-binary-", "linux-modules-", "linux-base-"];

/// A kernel with its modules.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    pub vmlinuz: PathBuf,
    /// `…/lib/modules/<release>`.
    pub modules_dir: PathBuf,
}

impl Kernel {
    /// A kernel that is already here. The release is the last part of the modules' folder, as everywhere on Linux.
    pub fn local(vmlinuz: &Path, modules_dir: &Path) -> Result<Self> {
        let modules_dir = modules_dir
            .canonicalize()
            .with_context(|| format!("cannot find the modules in {}", modules_dir.display()))?;
        if !vmlinuz.is_file() {
            bail!("{} is not a kernel image", vmlinuz.display());
        }
        let release = modules_dir
            .file_name()
            .context("the modules' folder has no name")?;
        Ok(Self {
            release: release.to_string_lossy().into_owned(),
            vmlinuz: vmlinuz.to_owned(),
            modules_dir,
        })
    }
}

impl Kernel {
    /// The kernel as QEMU starts it without its own unpacking, which takes an emulator up to five seconds: the ELF file in an x86_64 one,
    /// which is started by its PVH entry. Those of other architectures unpack nothing.
    pub fn unpacked(&self, arch: Arch) -> Result<Option<PathBuf>> {
        if arch != Arch::X86_64 {
            return Ok(None);
        }
        let folder = paths::output().join("kernels");
        let path = folder.join(format!("vmlinux-{}", self.release));
        cache::files(&[&path], &self.release, || {
            let image = fs::read(&self.vmlinuz)?;
            let unpacked = unpack::vmlinux(&image)
                .with_context(|| format!("cannot unpack {}", self.vmlinuz.display()))?;
            fs::write(&path, unpacked).with_context(|| format!("cannot write {}", path.display()))
        })?;
        Ok(Some(path))
    }
}

/// Fetches a kernel from Debian's mirror, or finds the one fetched before.
pub fn fetch(series: Series) -> Result<Kernel> {
    let folder = paths::output().join("kernels").join(series.name());
    let folder = cache::folder(&folder, |folder| unpack(series, folder))
        .with_context(|| {
            let name = series.name();
            format!("cannot get Debian's kernel {name}; --vmlinuz and --modules-dir boot one that is already here")
        })?;
    // Debian moved all of a kernel's files below its modules' folder in version 7.
    let old = folder.join("lib/modules");
    let modules = if old.is_dir() {
        old
    } else {
        folder.join("usr/lib/modules")
    };
    let entry = fs::read_dir(&modules)
        .with_context(|| format!("cannot list {}", modules.display()))?
        .next()
        .with_context(|| format!("{} is empty", modules.display()))??;
    let release = entry.file_name().to_string_lossy().into_owned();
    let beside = folder.join("boot").join(format!("vmlinuz-{release}"));
    let vmlinuz = if beside.is_file() {
        beside
    } else {
        entry.path().join("vmlinuz")
    };
    Kernel::local(&vmlinuz, &entry.path())
}

fn unpack(series: Series, folder: &Path) -> Result<()> {
    tools::require(&[tools::DPKG_DEB])?;
    let (suite, metapackage) = series.source();
    let step = progress::step(format!("fetching Debian's kernel {}", series.name()));
    let apt = Apt::open(suite, series.arch())?;
    apt.fresh(|| {
        let image = apt.resolve(metapackage, "linux-image-")?;
        // All of the kernel, or a package that only names those with the kernel, its modules and its configuration.
        let mut packages = apt.dependencies(&image)?;
        packages.retain(|name| PARTS.iter().any(|part| name.starts_with(part)));
        packages.push(image);
        for package in packages {
            step.now(&format!("fetching {package}"));
            apt.unpack(&package, folder)?;
        }
        Ok(())
    })?;
    step.done();
    Ok(())
}
