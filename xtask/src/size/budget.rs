//! The budget: bytes that each artifact may take, and why (`size-budget.toml`).

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Init, Initrd};
use crate::kernels::Series;

/// Unknown keys are refused, so that a limit with a slip of the pen is not one that holds always.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub init: InitBudget,
    /// By the name of the profile.
    #[serde(default)]
    pub initrd: BTreeMap<String, InitrdBudget>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitBudget {
    pub raw: Limit,
    pub zstd: Limit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitrdBudget {
    #[serde(deserialize_with = "series")]
    pub kernel: Series,
    pub userland_zstd: Limit,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Bytes.
    pub limit: usize,
    pub reason: String,
}

fn series<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Series, D::Error> {
    let name = String::deserialize(deserializer)?;
    Series::from_str(&name, false).map_err(de::Error::custom)
}

/// One limit and what was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub artifact: String,
    pub measure: &'static str,
    pub bytes: usize,
    pub limit: usize,
    pub reason: String,
}

impl Check {
    fn new(artifact: String, measure: &'static str, bytes: usize, limit: &Limit) -> Self {
        Self {
            artifact,
            measure,
            bytes,
            limit: limit.limit,
            reason: limit.reason.clone(),
        }
    }

    /// Bytes over the limit, if any.
    pub fn excess(&self) -> Option<usize> {
        self.bytes
            .checked_sub(self.limit)
            .filter(|excess| *excess > 0)
    }
}

impl Budget {
    pub fn read(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let budget: Self = toml::from_str(&fs::read_to_string(path)?)?;
            let limits = [
                ("init.raw", &budget.init.raw),
                ("init.zstd", &budget.init.zstd),
            ];
            let limits = limits.into_iter().chain(
                budget
                    .initrd
                    .iter()
                    .map(|(name, initrd)| (name.as_str(), &initrd.userland_zstd)),
            );
            for (name, limit) in limits {
                ensure!(
                    !limit.reason.trim().is_empty(),
                    "{name}: a limit needs a reason"
                );
            }
            Ok(budget)
        };
        read().with_context(|| format!("budget {}", path.display()))
    }

    pub fn check_init(&self, init: &Init) -> Vec<Check> {
        vec![
            Check::new(
                init.total.name.clone(),
                "raw",
                init.total.raw,
                &self.init.raw,
            ),
            Check::new(
                init.total.name.clone(),
                "zstd -19",
                init.total.zstd,
                &self.init.zstd,
            ),
        ]
    }

    /// The check of an initrd, if the budget has a limit for its profile.
    pub fn check_initrd(&self, initrd: &Initrd) -> Option<Check> {
        let budget = self.initrd.get(&initrd.profile)?;
        let artifact = format!("{} initrd", initrd.profile);
        Some(Check::new(
            artifact,
            "userland, zstd -19",
            initrd.userland.zstd,
            &budget.userland_zstd,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn every_limit_has_a_reason_and_no_key_is_unknown() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("budget.toml");
        let good =
            "[init]\nraw = { limit = 1, reason = \"a\" }\nzstd = { limit = 1, reason = \"b\" }\n";
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Budget::read(&path)
        };
        read(good).unwrap();
        for (text, want) in [
            (
                good.replace("\"b\"", "\" \""),
                "init.zstd: a limit needs a reason",
            ),
            (good.replace("raw", "rwa"), "unknown field `rwa`"),
            (
                good.replace(", reason = \"a\"", ""),
                "missing field `reason`",
            ),
            (
                format!(
                    "{good}[initrd.x]\nkernel = \"2.4\"\nuserland_zstd = {{ limit = 1, reason = \"c\" }}\n"
                ),
                "2.4",
            ),
        ] {
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains(want), "{error}\nlacks {want}");
        }
        Budget::read(&crate::paths::root().join("size-budget.toml")).unwrap();
    }
}
