//! The budget: bytes that each artifact and its parts may take, and why (`size-budget.toml`).

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use builder::profile::explained;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Artifact, Item};
pub use text::{File, Init, Initrd, Uki};
use text::{Limit, Text};

mod text;

/// A limit is near when less than this part of it is left, in percent, unless the budget says otherwise.
const MARGIN: f64 = 2.0;

/// One limit and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The artifact's name.
    pub artifact: String,
    /// The part of it, if the limit is for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<String>,
    /// `raw` or `packed`.
    pub measure: Measured,
    pub bytes: u64,
    pub limit: u64,
    /// Percent of the limit that must be left, else it is near.
    pub margin: f64,
    pub state: State,
    pub reason: String,
    /// Where the limit stands: a line of the budget.
    pub line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measured {
    Raw,
    Packed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// With more left than the margin.
    Within,
    /// Within, but less than the margin is left.
    Near,
    Over,
}

/// The budget, read and found to be possible.
pub struct Budget {
    file: PathBuf,
    text: String,
    margin: f64,
    pub init: BTreeMap<String, Init>,
    pub initrd: BTreeMap<String, Initrd>,
    pub uki: BTreeMap<String, Uki>,
    pub other: BTreeMap<String, File>,
}

/// A limit, and what it is for: artifact, part and measure.
type Placed<'a> = (String, Option<&'a str>, Measured, &'a Spanned<Limit>);

fn add<'a>(
    limits: &mut Vec<Placed<'a>>,
    artifact: String,
    part: Option<&'a str>,
    raw: &'a Option<Spanned<Limit>>,
    packed: &'a Option<Spanned<Limit>>,
) {
    for (measured, limit) in [(Measured::Raw, raw), (Measured::Packed, packed)] {
        limits.extend(
            limit
                .iter()
                .map(|limit| (artifact.clone(), part, measured, limit)),
        );
    }
}

impl Budget {
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read budget {}", file.display()))?;
        let read = || -> Result<Self> {
            let parsed: Text = toml::from_str(&text).map_err(|error| explained(&error))?;
            let mut budget = Self {
                file: file.to_owned(),
                text,
                margin: MARGIN,
                init: parsed.init,
                initrd: BTreeMap::new(),
                uki: parsed.uki,
                other: parsed.file,
            };
            if let Some(margin) = &parsed.margin {
                budget.margin = *margin.get_ref();
                budget.check_margin(budget.margin, margin.span())?;
            }
            for (name, initrd) in parsed.initrd {
                let span = initrd.span();
                let initrd = initrd.into_inner();
                if initrd.kernel.is_some() == initrd.modules_dir.is_some() {
                    return Err(budget.at(
                        span,
                        format!("initrd.{name}: name either a kernel or a modules_dir"),
                    ));
                }
                budget.initrd.insert(name, initrd);
            }
            for (name, uki) in &budget.uki {
                let initrd = uki.initrd.get_ref();
                let of_series = budget
                    .initrd
                    .get(initrd)
                    .map(|initrd| initrd.kernel.is_some());
                let problem = match of_series {
                    Some(true) => continue,
                    Some(false) => "has its kernel from modules_dir, without an image",
                    None => "is not in this budget",
                };
                return Err(budget.at(
                    uki.initrd.span(),
                    format!("uki.{name}: the initrd \"{initrd}\" {problem}"),
                ));
            }
            budget.check_limits()?;
            Ok(budget)
        };
        read().with_context(|| format!("budget {}", file.display()))
    }

    /// An error about what stands there.
    pub fn at(&self, span: Range<usize>, problem: impl Display) -> anyhow::Error {
        anyhow!("line {}: {problem}", self.line(&span))
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// A path that stands in the budget, which has to be there.
    pub fn existing(&self, path: &Spanned<PathBuf>) -> Result<PathBuf> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let found = folder.join(path.get_ref());
        if found.exists() {
            return Ok(found);
        }
        let error = self.at(path.span(), format!("there is no {}", found.display()));
        Err(error.context(format!("budget {}", self.file.display())))
    }

    /// Every limit with the artifact and the part that it is for.
    fn limits(&self) -> Vec<Placed<'_>> {
        let mut limits = Vec::new();
        for (name, init) in &self.init {
            add(
                &mut limits,
                format!("init.{name}"),
                None,
                &init.raw,
                &init.packed,
            );
        }
        let initrds = self
            .initrd
            .iter()
            .map(|(name, it)| ("initrd", name, &it.raw, &it.packed, &it.parts));
        let others = self
            .other
            .iter()
            .map(|(name, it)| ("file", name, &it.raw, &it.packed, &it.parts));
        for (kind, name, raw, packed, parts) in initrds.chain(others) {
            let name = format!("{kind}.{name}");
            add(&mut limits, name.clone(), None, raw, packed);
            for (part, limit) in parts {
                add(
                    &mut limits,
                    name.clone(),
                    Some(part),
                    &limit.raw,
                    &limit.packed,
                );
            }
        }
        for (name, uki) in &self.uki {
            add(&mut limits, format!("uki.{name}"), None, &None, &uki.packed);
        }
        limits
    }

    fn check_margin(&self, margin: f64, span: Range<usize>) -> Result<()> {
        let possible = (0.0..100.0).contains(&margin);
        possible.then_some(()).ok_or_else(|| {
            self.at(
                span,
                format!("a margin of {margin} percent; 0 to 99 are possible"),
            )
        })
    }

    fn check_limits(&self) -> Result<()> {
        let limits = self.limits();
        for (artifact, part, measured, limit) in &limits {
            let (span, limit) = (limit.span(), limit.get_ref());
            let name = label(artifact, *part, *measured);
            if limit.limit == 0 {
                return Err(self.at(span, format!("{name}: a limit of 0 bytes cannot hold")));
            }
            if limit.reason.trim().is_empty() {
                return Err(self.at(span, format!("{name}: a limit needs a reason")));
            }
            if let Some(margin) = limit.margin {
                self.check_margin(margin, span.clone())?;
            }
            let whole = limits.iter().find(|(other, part, other_measured, _)| {
                (other, *part, other_measured) == (artifact, None, measured)
            });
            if let Some((.., whole)) =
                whole.filter(|(.., whole)| whole.get_ref().limit < limit.limit)
            {
                let whole = whole.get_ref().limit;
                return Err(self.at(
                    span,
                    format!(
                        "{name}: {} bytes are more than the whole may take, {whole}",
                        limit.limit
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The parts of an artifact that there are limits for, each with whether one is for it packed, and where that stands.
    pub fn parts(&self, artifact: &str) -> Vec<(&str, bool, Range<usize>)> {
        let mut parts: BTreeMap<&str, (bool, Range<usize>)> = BTreeMap::new();
        for (name, part, measured, limit) in self.limits() {
            if let (true, Some(part)) = (name == artifact, part) {
                let entry = parts.entry(part).or_insert((false, limit.span()));
                entry.0 |= measured == Measured::Packed;
            }
        }
        let parts = parts.into_iter();
        parts
            .map(|(part, (packed, span))| (part, packed, span))
            .collect()
    }

    /// Holds what was measured against every limit.
    pub fn check(&self, artifacts: &[Artifact]) -> Vec<Check> {
        let mut checks = Vec::new();
        for (name, part, measure, limit) in self.limits() {
            let artifact = artifacts.iter().find(|artifact| artifact.name == name);
            let of_part = |part: &str| {
                artifact?
                    .parts
                    .iter()
                    .find(|item| item.name == part)
                    .map(Item::sizes)
            };
            let sizes = match part {
                Some(part) => of_part(part),
                None => artifact.map(|artifact| (artifact.raw, artifact.packed)),
            };
            // `--only` leaves some out.
            let Some((raw, packed)) = sizes else { continue };
            let bytes = match measure {
                Measured::Raw => raw,
                Measured::Packed => packed,
            };
            let (line, limit) = (self.line(&limit.span()), limit.get_ref());
            let margin = limit.margin.unwrap_or(self.margin);
            let near = limit.limit as f64 * (1.0 - margin / 100.0);
            checks.push(Check {
                artifact: name,
                part: part.map(str::to_owned),
                measure,
                bytes,
                limit: limit.limit,
                margin,
                state: match bytes {
                    _ if bytes > limit.limit => State::Over,
                    _ if bytes as f64 > near => State::Near,
                    _ => State::Within,
                },
                reason: limit.reason.clone(),
                line,
            });
        }
        checks
    }
}

fn label(artifact: &str, part: Option<&str>, measured: Measured) -> String {
    let part = part.map_or(String::new(), |part| format!(", {part}"));
    let measured = match measured {
        Measured::Raw => "raw",
        Measured::Packed => "packed",
    };
    format!("{artifact}{part} ({measured})")
}

impl Check {
    /// What the limit is for: `initrd.flatcar, userland (packed)`.
    pub fn label(&self) -> String {
        label(&self.artifact, self.part.as_deref(), self.measure)
    }
}

#[cfg(test)]
mod tests;
