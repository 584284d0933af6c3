//! The manifest: every entry of an initrd, how many bytes it takes, and why it is there.

use serde::{Deserialize, Serialize};

/// What `OUT.json` says about an initrd.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Manifest {
    /// Kernel that the modules belong to.
    pub release: String,
    pub arch: String,
    /// File name of the profile.
    pub profile: String,
    pub totals: Totals,
    /// Firmware that modules name and that was nowhere found.
    pub missing_firmware: Vec<String>,
    /// What people should know about the choice of modules.
    pub warnings: Vec<String>,
    /// In the archive's order.
    pub entries: Vec<Item>,
}

/// Counts and bytes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Totals {
    pub modules: usize,
    /// File data of the modules.
    pub module_bytes: usize,
    pub aliases: usize,
    pub firmware: usize,
    pub firmware_bytes: usize,
    /// The archive before compression.
    pub archive_bytes: usize,
    /// The file as it ships.
    pub compressed_bytes: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Item {
    pub path: String,
    pub kind: Kind,
    /// File data, before compression.
    pub bytes: usize,
    /// Where it comes from: modules relative to the modules directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub why: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Init,
    Plan,
    Module,
    Firmware,
    File,
    Directory,
    Device,
    Symlink,
}
