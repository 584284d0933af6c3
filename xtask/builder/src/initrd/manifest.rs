//! The manifest: every entry of an initrd, how many bytes it takes, and why it is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::kernel::{catalogue::Catalogue, modinfo};

/// What `OUT.json` says about an initrd.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Manifest {
    /// Kernel that the modules belong to.
    pub release: String,
    /// Architecture that the init is for.
    pub arch: String,
    /// File name of the profile.
    pub profile: String,
    /// Counts and bytes.
    pub totals: Totals,
    /// Firmware that modules name and that was nowhere found.
    pub missing_firmware: Vec<String>,
    /// What people should know about the choice of modules.
    pub warnings: Vec<String>,
    /// What needs no module.
    pub builtin: Builtin,
    /// In the archive's order.
    pub entries: Vec<Item>,
}

/// Where the manifest of an initrd lies: beside it.
pub fn path(initrd: &Path) -> PathBuf {
    initrd.with_added_extension("json")
}

impl Manifest {
    /// The one that lies beside an initrd, if one does.
    pub fn beside(initrd: &Path) -> Result<Option<Self>> {
        let path = path(initrd);
        if !path.exists() {
            return Ok(None);
        }
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
        let manifest =
            read().with_context(|| format!("{} is no manifest of an initrd", path.display()))?;
        Ok(Some(manifest))
    }

    /// Writes it beside the initrd.
    pub fn write(&self, initrd: &Path) -> Result<()> {
        let path = path(initrd);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What is built into the kernel.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Builtin {
    /// Names of drivers, ascending.
    pub names: Vec<String>,
    /// Their hardware aliases, as far as the kernel's package tells, ascending.
    pub aliases: Vec<String>,
}

impl Builtin {
    /// What a kernel has built in.
    pub fn of(catalogue: &Catalogue) -> Self {
        let file = |path: &String| {
            path.rsplit('/')
                .next()
                .and_then(modinfo::stem)
                .map(str::to_owned)
        };
        let names: BTreeSet<String> = catalogue.builtin.iter().filter_map(file).collect();
        let aliases = catalogue.builtin_aliases();
        let aliases: BTreeSet<&String> = aliases.filter(|alias| is_hardware(alias)).collect();
        Self {
            names: names.into_iter().collect(),
            aliases: aliases.into_iter().cloned().collect(),
        }
    }
}

/// Counts and bytes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Totals {
    /// How many there are.
    pub modules: usize,
    /// File data of the modules.
    pub module_bytes: usize,
    /// Patterns over modaliases.
    pub aliases: usize,
    /// Files of firmware.
    pub firmware: usize,
    /// Their data.
    pub firmware_bytes: usize,
    /// The archive with microcode in front.
    #[serde(default)]
    pub microcode_bytes: usize,
    /// The archive before compression.
    pub archive_bytes: usize,
    /// The file as it ships.
    pub compressed_bytes: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Item {
    /// Where it is in the initrd.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// File data, before compression.
    pub bytes: usize,
    /// Where it comes from: modules relative to the modules directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The rule that asks for it, or what needs it.
    pub why: String,
    /// Of a module that no rule asks for: the one that needs it, the one that needs that, up to one that a rule asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
    /// Of a module in the module pack: the number of its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// The same: what it takes of the packed bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed_bytes: Option<usize>,
    /// Of a module: patterns over the modaliases of the hardware that it drives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

impl Item {
    /// The name of a module.
    pub fn module(&self) -> Option<&str> {
        let file = self.path.rsplit('/').next()?;
        modinfo::stem(file).filter(|_| self.kind == Kind::Module)
    }
}

/// Whether an alias stands for hardware (`pci:…`), not for a service of the kernel (`fs-ext4`, `char-major-10-236`, `devname:…`).
pub fn is_hardware(alias: &str) -> bool {
    alias.contains(':') && !alias.starts_with("devname:")
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Init,
    Plan,
    /// The module pack.
    Pack,
    Module,
    Firmware,
    File,
    Directory,
    Device,
    Symlink,
}
