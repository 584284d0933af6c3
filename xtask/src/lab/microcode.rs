//! Microcode in front of an initrd, made from Debian's packages.

use std::path::PathBuf;

use anyhow::Result;
use builder::arch::Arch;
pub use builder::archive::microcode::archive;

use super::apt::Apt;
use super::{cache, paths};

/// The folder lib/firmware of Debian's packages with microcode, fetched now or found where they were unpacked before.
pub fn debian() -> Result<PathBuf> {
    let folder = cache::folder(&paths::output().join("microcode"), |folder| {
        let apt = Apt::open("bookworm", Arch::X86_64)?;
        let packages = ["intel-microcode", "amd64-microcode"];
        apt.fresh(|| {
            packages
                .iter()
                .try_for_each(|package| apt.unpack(package, folder))
        })
    })?;
    Ok(folder.join("lib/firmware"))
}
