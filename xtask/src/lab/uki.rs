//! Unified kernel images made with what this machine and Debian have: systemd's stub, and sbsign.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use builder::arch::Arch;
use builder::progress;
pub use builder::uki::{Request, Uki, build, fallback_path};

use super::apt::Apt;
use super::{cache, paths, tools};

/// `image` with a signature that UEFI Secure Boot checks, made with a private key that has no passphrase and its certificate, both PEM.
pub fn sign(image: &[u8], key: &Path, certificate: &Path) -> Result<Vec<u8>> {
    let room = tempfile::tempdir()?;
    let [unsigned, signed] = ["unsigned", "signed"].map(|name| room.path().join(name));
    fs::write(&unsigned, image)?;
    let mut sbsign = tools::SBSIGN.command()?;
    sbsign.arg("--key").arg(key).arg("--cert").arg(certificate);
    tools::run(sbsign.arg("--output").arg(&signed).arg(&unsigned))?;
    fs::read(&signed).context("sbsign signed nothing")
}

/// systemd's stub from Debian's package, fetched now or found where it was unpacked before.
pub fn stub(arch: Arch) -> Result<PathBuf> {
    let folder = paths::output().join("stub").join(arch.name());
    let folder = cache::folder(&folder, |folder| {
        tools::require(&[tools::DPKG_DEB])?;
        let step = progress::step(format!("fetching systemd's stub for {arch}"));
        let apt = Apt::open("bookworm", arch)?;
        apt.fresh(|| apt.unpack("systemd-boot-efi", folder))?;
        step.done();
        Ok(())
    })
    .context(
        "cannot get Debian's package systemd-boot-efi; --stub takes a stub that is already here",
    )?;
    let name = match arch {
        Arch::X86_64 => "linuxx64.efi.stub",
        Arch::Aarch64 => "linuxaa64.efi.stub",
    };
    Ok(folder.join("usr/lib/systemd/boot/efi").join(name))
}
