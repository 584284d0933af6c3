//! What things weigh: each artifact of the budget as a whole, by its parts, and by what each piece of it costs when it is packed.

pub mod budget;
pub mod diff;
mod init;
mod initrd;
mod marginal;
pub mod measure;
pub mod report;
pub mod table;
pub mod treemap;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use budget::Check;
use diff::Change;
use marginal::Measure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of what [`Report`] looks like as JSON.
const SCHEMA: u32 = 1;

/// Everything that was measured: what `cargo xtask size --json` prints and `--save` keeps. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this format: 1. It is counted up when a field changes its meaning or goes.
    pub schema: u32,
    /// In the order of the budget's kinds and names.
    pub artifacts: Vec<Artifact>,
    /// Every limit of the budget.
    pub checks: Vec<Check>,
    /// What is not as in the baseline, if there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// One thing that ships.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// As the budget has it: `init.x86_64`, `initrd.flatcar`, `uki.flatcar`, `file.boot`.
    pub name: String,
    /// What it was made from, for people.
    pub about: String,
    /// Before compression. For a file that is not compressed, its length.
    pub raw: u64,
    /// Packed: an init as `zstd -19` packs it, anything else as it ships.
    pub packed: u64,
    /// SHA-256 of what is packed.
    pub content: String,
    /// What limits can be about; each packed is an archive of its own.
    pub parts: Vec<Item>,
    /// The same bytes by several criteria.
    pub views: Vec<View>,
}

/// An artifact's bytes by one criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// `stage`, `crate` and `symbol` of an init; `folder`, `rule` and `file` of an initrd; `section` of a unified kernel image.
    pub by: String,
    /// Those that cost most first.
    pub items: Vec<Item>,
}

/// A piece of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub name: String,
    /// Of a symbol its stage, of a file its folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Before compression, with its header in an archive.
    pub raw: u64,
    /// Its marginal cost: what the packed artifact would be smaller without it. What several pieces have in common is no one's, so the sum is
    /// less than the whole. (Of a part: its length, packed alone.)
    pub packed: u64,
}

impl Report {
    pub fn new(artifacts: Vec<Artifact>, checks: Vec<Check>) -> Self {
        Self {
            schema: SCHEMA,
            artifacts,
            checks,
            changes: Vec::new(),
        }
    }

    /// Reads what `--save` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let file = builder::archive::read(path)?;
        let read = || -> Result<Self> {
            let report: Self = serde_json::from_slice(&file)?;
            ensure!(
                report.schema == SCHEMA,
                "it has version {} of the format, and this is {SCHEMA}",
                report.schema
            );
            Ok(report)
        };
        read().with_context(|| {
            let path = path.display();
            format!("{path} is not what `cargo xtask size --save` writes; save it anew")
        })
    }

    pub fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.name == name)
    }
}

impl Artifact {
    /// Its pieces by one criterion.
    pub fn view(&self, by: &str) -> &[Item] {
        let view = self.views.iter().find(|view| view.by == by);
        view.map_or(&[], |view| &view.items)
    }

    /// Its finest pieces, which are of groups.
    pub fn finest(&self) -> Option<&View> {
        self.views.last()
    }
}

impl Item {
    /// Before compression, and packed.
    fn sizes(&self) -> (u64, u64) {
        (self.raw, self.packed)
    }
}

impl View {
    /// The pieces by name, each with its group and one of the places where its bytes lie; `bytes` take `packed` when they are packed.
    fn of(
        by: &str,
        pieces: impl Iterator<Item = (String, String, Range<usize>)>,
        bytes: &[u8],
        packed: u64,
        measure: Measure,
    ) -> Result<Self> {
        let mut named: BTreeMap<(String, String), Vec<Range<usize>>> = BTreeMap::new();
        for (name, group, range) in pieces {
            named.entry((name, group)).or_default().push(range);
        }
        let ranges: Vec<Vec<Range<usize>>> = named.values().cloned().collect();
        let costs = marginal::costs(bytes, packed, &ranges, measure)?;
        let items = named.into_iter().zip(costs);
        let items = items.map(|(((name, group), ranges), packed)| Item {
            name,
            group,
            raw: ranges.iter().map(|range| range.len() as u64).sum(),
            packed,
        });
        let mut items: Vec<Item> = items.collect();
        items.sort_by(|one, other| {
            (other.packed, other.raw, &one.name).cmp(&(one.packed, one.raw, &other.name))
        });
        Ok(Self {
            by: by.to_owned(),
            items,
        })
    }
}
