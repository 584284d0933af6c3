//! What one initrd drives and another does not.

use std::collections::{HashMap, HashSet};

use crate::kernel::classes;

use crate::{
    initrd::manifest::{Item, Manifest},
    kernel::catalogue::folded,
};

/// A driver of one initrd that the other lacks, or that drives less there.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    pub name: String,
    /// The other has no such driver, neither as a module nor built in.
    pub driver: bool,
    /// Hardware aliases that nothing in the other serves.
    pub aliases: Vec<String>,
}

/// What an initrd has that another one lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub missing: Vec<Missing>,
    /// Modules of the first that the other's kernel has built in.
    pub built_in: Vec<String>,
    /// Modules without hardware that were there only because others needed them, and are not there any more.
    pub not_needed: Vec<String>,
}

/// What `from` has that `other` lacks. The tables of devices of a driver that is built in are not known for every kernel, so all
/// that it drove as a module counts as served.
pub fn difference(from: &Manifest, other: &Manifest) -> Difference {
    let modules: HashSet<String> = names(other).collect();
    let built_in: HashSet<String> = other
        .builtin
        .names
        .iter()
        .map(|name| folded(name))
        .collect();
    let turned_in = |item: &&Item| {
        let name = item.module().map(folded).unwrap_or_default();
        !modules.contains(&name) && built_in.contains(&name)
    };
    let all = other
        .entries
        .iter()
        .chain(from.entries.iter().filter(turned_in));
    let served = Served::new(
        all.flat_map(|item| &item.aliases)
            .chain(&other.builtin.aliases),
    );
    let mut difference = Difference::default();
    for item in &from.entries {
        let Some(name) = item.module().map(str::to_owned) else {
            continue;
        };
        let driver = !modules.contains(&folded(&name));
        if turned_in(&item) {
            difference.built_in.push(name);
        } else if driver && item.aliases.is_empty() && !item.needed_by.is_empty() {
            difference.not_needed.push(name);
        } else {
            let lost = item.aliases.iter().filter(|alias| !served.covers(alias));
            let aliases: Vec<String> = lost.cloned().collect();
            if driver || !aliases.is_empty() {
                difference.missing.push(Missing {
                    name,
                    driver,
                    aliases,
                });
            }
        }
    }
    difference
}

/// The modules' names, with `_` for `-`.
fn names(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest
        .entries
        .iter()
        .filter_map(|item| item.module().map(folded))
}

/// The aliases that something serves.
struct Served<'a> {
    exact: HashSet<&'a str>,
    /// Those in which `*` is the only wildcard, by bus.
    patterns: HashMap<&'a str, Vec<&'a str>>,
}

fn bus(alias: &str) -> &str {
    alias.split(':').next().unwrap_or_default()
}

impl<'a> Served<'a> {
    fn new(aliases: impl Iterator<Item = &'a String>) -> Self {
        let mut served = Self {
            exact: HashSet::new(),
            patterns: HashMap::new(),
        };
        for alias in aliases {
            if served.exact.insert(alias) && !alias.contains(['?', '[']) {
                served.patterns.entry(bus(alias)).or_default().push(alias);
            }
        }
        served
    }

    /// Whether every modalias that `alias` matches is served by one alias here. A pattern that matches another one's text,
    /// with nothing but `*` to match its wildcards, matches all that it does.
    fn covers(&self, alias: &str) -> bool {
        self.exact.contains(alias)
            || self.patterns.get(bus(alias)).is_some_and(|patterns| {
                patterns
                    .iter()
                    .any(|pattern| classes::matches(pattern, alias))
            })
    }
}

#[cfg(test)]
pub mod tests {
    use super::{Difference, Missing, difference};
    use crate::initrd::manifest::{Builtin, Item, Kind, Manifest, Totals};

    /// A manifest of modules (name, hardware aliases, what needs it), and of what is built in (names, aliases).
    pub fn manifest(
        modules: &[(&str, &[&str], &[&str])],
        builtin: &[&str],
        aliases: &[&str],
    ) -> Manifest {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Manifest {
            release: "1".to_owned(),
            arch: "x86_64".to_owned(),
            profile: "test".to_owned(),
            totals: Totals::default(),
            missing_firmware: Vec::new(),
            warnings: Vec::new(),
            builtin: Builtin {
                names: owned(builtin),
                aliases: owned(aliases),
            },
            entries: modules
                .iter()
                .map(|(name, aliases, needed_by)| Item {
                    path: format!("lib/modules/{name}.ko.xz"),
                    kind: Kind::Module,
                    bytes: 1,
                    source: None,
                    why: String::new(),
                    needed_by: owned(needed_by),
                    aliases: owned(aliases),
                    group: None,
                    packed_bytes: None,
                })
                .collect(),
        }
    }

    fn missing(name: &str, driver: bool, aliases: &[&str]) -> Missing {
        Missing {
            name: name.to_owned(),
            driver,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        }
    }

    #[test]
    fn drivers_and_aliases() {
        let old = manifest(
            &[
                ("mptspi", &["pci:v1d30sv*sd*"], &[]),
                (
                    "ahci",
                    &["pci:v2d1sv*sd*", "pci:v2d2sv*sd*", "usb:v1p[1-3]d*"],
                    &[],
                ),
                ("sd_mod", &["scsi:t-0x00*", "scsi:t-0x07*"], &[]),
                ("libcrc32c", &[], &["btrfs"]),
                ("btrfs", &[], &[]),
                ("nvme-core", &[], &[]),
                ("virtio_blk", &["virtio:d2v*"], &[]),
            ],
            &["loop"],
            &[],
        );
        let new = manifest(
            &[
                ("ahci", &["pci:v2d1sv*sd*", "usb:v1p?d*"], &[]),
                ("nvme_core", &[], &[]),
                ("loop", &[], &[]),
                ("vmd", &["pci:v9d*"], &[]),
            ],
            &["sd_mod"],
            &["virtio:d*v*"],
        );
        assert_eq!(
            difference(&old, &new),
            Difference {
                missing: vec![
                    missing("mptspi", true, &["pci:v1d30sv*sd*"]),
                    missing("ahci", false, &["pci:v2d2sv*sd*", "usb:v1p[1-3]d*"]),
                    missing("btrfs", true, &[]),
                    missing("virtio_blk", true, &[]),
                ],
                built_in: vec!["sd_mod".to_owned()],
                not_needed: vec!["libcrc32c".to_owned()],
            }
        );
        assert_eq!(
            difference(&new, &old),
            Difference {
                missing: vec![
                    missing("ahci", false, &["usb:v1p?d*"]),
                    missing("vmd", true, &["pci:v9d*"]),
                ],
                built_in: vec!["loop".to_owned()],
                not_needed: vec![],
            }
        );
        assert_eq!(difference(&old, &old), Difference::default());
    }

    #[test]
    fn a_wider_pattern_serves_a_narrower_one_and_not_the_other_way() {
        let wide = manifest(&[("a", &["pci:v1d*sv*", "pci:v2*"], &[])], &[], &[]);
        let narrow = manifest(&[("a", &["pci:v1d5sv*", "pci:v2d?"], &[])], &[], &[]);
        assert_eq!(difference(&narrow, &wide).missing, []);
        assert_eq!(difference(&wide, &narrow).missing.len(), 1);
    }
}
