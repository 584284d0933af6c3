//! A budget as people write it (TOML).

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::lab::kernels::Series;
use builder::{arch::Arch, archive::compress::Compression};

/// Unknown keys are refused, so that a limit with a slip of the pen is not one that holds always.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) margin: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) init: BTreeMap<String, Init>,
    #[serde(default)]
    pub(super) initrd: BTreeMap<String, Spanned<Initrd>>,
    #[serde(default)]
    pub(super) uki: BTreeMap<String, Uki>,
    #[serde(default)]
    pub(super) file: BTreeMap<String, File>,
}

/// An init that `cargo xtask build` makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    #[serde(default)]
    pub arch: Arch,
    pub(super) raw: Option<Spanned<Limit>>,
    pub(super) packed: Option<Spanned<Limit>>,
}

/// An initrd that `cargo xtask initrd` makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initrd {
    /// Relative to the budget.
    pub profile: Spanned<PathBuf>,
    /// A kernel of `cargo xtask boot --kernel`, or …
    #[serde(default, deserialize_with = "named")]
    pub kernel: Option<Series>,
    /// … any other kernel's modules, relative to the budget.
    pub modules_dir: Option<Spanned<PathBuf>>,
    #[serde(default = "zstd", deserialize_with = "named")]
    pub compress: Option<Compression>,
    #[serde(default, deserialize_with = "named")]
    pub module_compress: Option<Compression>,
    /// As `--microcode` takes them; relative to the budget.
    #[serde(default)]
    pub microcode: Vec<Spanned<PathBuf>>,
    pub(super) raw: Option<Spanned<Limit>>,
    pub(super) packed: Option<Spanned<Limit>>,
    #[serde(default)]
    pub(super) parts: BTreeMap<String, Part>,
}

/// A unified kernel image that `cargo xtask uki` makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uki {
    /// Name of an initrd of this budget; the kernel is that one's.
    pub initrd: Spanned<String>,
    #[serde(default)]
    pub cmdline: String,
    pub(super) packed: Option<Spanned<Limit>>,
}

/// Any file that something else has made: an initrd (with its manifest beside it, if it has one), a unified kernel image, or anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Relative to the budget.
    pub path: Spanned<PathBuf>,
    pub(super) raw: Option<Spanned<Limit>>,
    pub(super) packed: Option<Spanned<Limit>>,
    #[serde(default)]
    pub(super) parts: BTreeMap<String, Part>,
}

/// Limits for a part of an initrd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) raw: Option<Spanned<Limit>>,
    pub(super) packed: Option<Spanned<Limit>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) limit: u64,
    pub(super) reason: String,
    pub(super) margin: Option<f64>,
}

fn zstd() -> Option<Compression> {
    Some(Compression::Zstd)
}

/// A value as the command line has it.
fn named<'de, D: Deserializer<'de>, V: ValueEnum>(deserializer: D) -> Result<Option<V>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let names = || V::value_variants().iter().filter_map(V::to_possible_value);
    let found = V::from_str(&name, false).map_err(|_| {
        let names: Vec<String> = names().map(|value| value.get_name().to_owned()).collect();
        de::Error::custom(format!("there is no \"{name}\", but {}", names.join(", ")))
    });
    found.map(Some)
}
