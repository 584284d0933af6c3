//! UEFI firmware for a machine: OVMF, which is AAVMF on aarch64, and the file that it keeps its variables in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lab::tools::{self, Tool};
use builder::arch::Arch;

/// The firmware's variables, in a file that a machine reads and writes.
#[derive(Clone, Debug)]
pub struct Variables {
    path: PathBuf,
}

impl Variables {
    /// A new file with nothing but what a new machine has.
    pub fn create(arch: Arch, path: &Path) -> Result<Self> {
        let template = find(match arch {
            Arch::X86_64 => tools::OVMF_VARIABLES,
            Arch::Aarch64 => tools::AAVMF_VARIABLES,
        })?;
        fs::copy(&template, path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self::at(path))
    }

    /// A file that a machine has written.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// QEMU's arguments: the firmware in one flash memory, its variables in another one.
    pub(super) fn arguments(&self, arch: Arch) -> Result<Vec<String>> {
        let code = find(match arch {
            Arch::X86_64 => tools::OVMF,
            Arch::Aarch64 => tools::AAVMF,
        })?;
        let flash = |path: &Path, options: &str| -> Result<[String; 2]> {
            let path = path.to_str().context("a path is not UTF-8")?;
            let path = path.replace(',', ",,");
            let drive = format!("if=pflash,format=raw,{options}file={path}");
            Ok(["-drive".to_owned(), drive])
        };
        Ok([flash(&code, "readonly=on,")?, flash(&self.path, "")?].concat())
    }
}

fn find(firmware: Tool) -> Result<PathBuf> {
    firmware.find().with_context(|| {
        let Tool { binary, package } = firmware;
        format!("{binary} is not installed; Debian's package {package} has it")
    })
}
