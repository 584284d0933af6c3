//! The budget: bytes that each artifact and its parts may take, and why (`size-budget.toml`).

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

use super::{Artifact, Item};
use crate::{arch::Arch, initrd::compress::Compression, kernels::Series};

/// A limit is near when less than this part of it is left, in percent, unless the budget says otherwise.
const MARGIN: f64 = 2.0;

/// Unknown keys are refused, so that a limit with a slip of the pen is not one that holds always.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    margin: Option<Spanned<f64>>,
    #[serde(default)]
    init: BTreeMap<String, Init>,
    #[serde(default)]
    initrd: BTreeMap<String, Spanned<Initrd>>,
    #[serde(default)]
    uki: BTreeMap<String, Uki>,
    #[serde(default)]
    file: BTreeMap<String, File>,
}

/// An init that `cargo xtask build` makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    #[serde(default)]
    pub arch: Arch,
    #[serde(default)]
    pub features: Vec<String>,
    raw: Option<Spanned<Limit>>,
    packed: Option<Spanned<Limit>>,
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
    raw: Option<Spanned<Limit>>,
    packed: Option<Spanned<Limit>>,
    #[serde(default)]
    parts: BTreeMap<String, Part>,
}

/// A unified kernel image that `cargo xtask uki` makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uki {
    /// Name of an initrd of this budget; the kernel is that one's.
    pub initrd: Spanned<String>,
    #[serde(default)]
    pub cmdline: String,
    packed: Option<Spanned<Limit>>,
}

/// Any file that something else has made: an initrd (with its manifest beside it, if it has one), a unified kernel image, or anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Relative to the budget.
    pub path: Spanned<PathBuf>,
    raw: Option<Spanned<Limit>>,
    packed: Option<Spanned<Limit>>,
    #[serde(default)]
    parts: BTreeMap<String, Part>,
}

/// Limits for a part of an initrd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    raw: Option<Spanned<Limit>>,
    packed: Option<Spanned<Limit>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: u64,
    reason: String,
    margin: Option<f64>,
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
        let read = || -> Result<Self> {
            let text = fs::read_to_string(file)?;
            let parsed: Text = toml::from_str(&text)?;
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
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budget> {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("budget.toml");
        fs::write(&path, text).unwrap();
        Budget::read(&path)
    }

    const GOOD: &str = r#"margin = 5
[init.x86_64]
raw = { limit = 1000, reason = "a" }
packed = { limit = 500, reason = "b", margin = 0 }
[initrd.small]
profile = "p.toml"
kernel = "6.1"
packed = { limit = 900, reason = "c" }
[initrd.small.parts.userland]
packed = { limit = 300, reason = "d" }
[uki.small]
initrd = "small"
packed = { limit = 5000, reason = "e" }
[file.boot]
path = "boot.img"
"#;

    #[test]
    fn what_cannot_be_meant_names_its_line() {
        read(GOOD).unwrap();
        Budget::read(&crate::paths::root().join("size-budget.toml")).unwrap();
        for (old, new, line, want) in [
            (
                "\"b\"",
                "\" \"",
                4,
                "init.x86_64 (packed): a limit needs a reason",
            ),
            ("raw", "rwa", 3, "unknown field `rwa`"),
            (", reason = \"a\"", "", 3, "missing field `reason`"),
            (
                "limit = 1000",
                "limit = 0",
                3,
                "init.x86_64 (raw): a limit of 0 bytes cannot hold",
            ),
            ("limit = 1000", "limit = -1", 3, "invalid value"),
            ("margin = 5", "margin = 100", 1, "a margin of 100 percent"),
            ("margin = 0", "margin = -1", 4, "a margin of -1 percent"),
            (
                "limit = 300",
                "limit = 901",
                10,
                "901 bytes are more than the whole may take, 900",
            ),
            (
                "\"6.1\"",
                "\"2.4\"",
                7,
                "there is no \"2.4\", but 6.1, 6.1-generic",
            ),
            (
                "kernel = \"6.1\"",
                "",
                5,
                "initrd.small: name either a kernel or a modules_dir",
            ),
            (
                "initrd = \"small\"",
                "initrd = \"large\"",
                12,
                "the initrd \"large\" is not in this budget",
            ),
            ("[file.boot]", "[flie.boot]", 14, "unknown field `flie`"),
        ] {
            assert!(GOOD.contains(old), "{old}");
            let error = match read(&GOOD.replacen(old, new, 1)) {
                Ok(_) => panic!("{new} is taken"),
                Err(error) => format!("{error:#}"),
            };
            assert!(error.contains(want), "{error}\nlacks {want}");
            assert!(
                error.contains(&format!("line {line}")),
                "{error}\nlacks line {line}"
            );
        }
    }

    #[test]
    fn files_that_are_not_there_name_their_line() {
        let budget = read(GOOD).unwrap();
        let error = format!(
            "{:#}",
            budget.existing(&budget.other["boot"].path).unwrap_err()
        );
        assert!(
            error.contains("line 15: there is no ") && error.contains("boot.img"),
            "{error}"
        );
    }

    #[test]
    fn over_near_and_within() {
        let budget = read(GOOD).unwrap();
        let check = |raw, packed| {
            let artifact = Artifact {
                name: "init.x86_64".to_owned(),
                about: String::new(),
                raw,
                packed,
                content: String::new(),
                parts: Vec::new(),
                views: Vec::new(),
            };
            let states = budget
                .check(&[artifact])
                .into_iter()
                .map(|check| (check.state, check.line));
            states.collect::<Vec<_>>()
        };
        use State::{Near, Over, Within};
        assert_eq!(check(950, 500), [(Within, 3), (Within, 4)]);
        assert_eq!(check(951, 501), [(Near, 3), (Over, 4)]);
        assert_eq!(check(1001, 499), [(Over, 3), (Within, 4)]);
        assert_eq!(
            budget.parts("initrd.small"),
            [(
                "userland",
                true,
                GOOD.find("{ limit = 300").map(|at| at..at + 29).unwrap()
            )]
        );
    }
}
