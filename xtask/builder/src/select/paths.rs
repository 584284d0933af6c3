//! Rules that are glob patterns over module paths.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use globset::{GlobBuilder, GlobMatcher};

use crate::kernel::{
    catalogue::{Catalogue, Module},
    near,
};

/// Braces in one pattern stand for so many alternatives at most that suggestions are looked for.
const ALTERNATIVES: usize = 64;

/// One rule: alternatives in braces belong to it, so it is good when one of them is.
pub struct Rule<'a> {
    pub pattern: &'a str,
    glob: GlobMatcher,
}

impl<'a> Rule<'a> {
    /// A pattern over paths below the modules directory: `*` stays within a component, `**` does not.
    pub fn new(pattern: &'a str) -> Result<Self> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .with_context(|| format!("\"{pattern}\" is no glob pattern"))?;
        Ok(Self {
            pattern,
            glob: glob.compile_matcher(),
        })
    }

    /// All rules of a list.
    pub fn list(patterns: &'a [String]) -> Result<Vec<Self>> {
        patterns.iter().map(|pattern| Self::new(pattern)).collect()
    }

    /// Whether the rule takes this module, with or without the suffix of its compression.
    pub fn takes(&self, module: &Module) -> bool {
        self.glob.is_match(module.plain_path()) || self.glob.is_match(&module.path)
    }

    /// Whether the kernel has anything that the rule takes, as a module or built in.
    pub fn matches_any(&self, catalogue: &Catalogue) -> bool {
        catalogue.modules.iter().any(|module| self.takes(module))
            || catalogue
                .builtin
                .iter()
                .any(|path| self.glob.is_match(path))
    }

    /// What may have been meant by a rule that matches nothing, as the end of an error message.
    pub fn hint(&self, catalogue: &Catalogue) -> String {
        let paths = catalogue.paths();
        let literals: Vec<String> = alternatives(self.pattern)
            .iter()
            .map(|pattern| literal(pattern))
            .collect();
        for literal in &literals {
            if paths.contains(literal) && !literal.ends_with(".ko") {
                return match alternatives(self.pattern).contains(literal) {
                    true => format!("; {literal} is a folder: {literal}/** takes what is in it"),
                    false => format!("; there are modules below {literal}, but none like that"),
                };
            }
            let end = format!("/{literal}");
            if let Some(whole) = paths.iter().find(|path| path.ends_with(&end)) {
                return format!("; close to it: {whole}");
            }
        }
        literals
            .iter()
            .map(|literal| near::hint(literal, paths.iter().map(String::as_str)))
            .find(|hint| !hint.is_empty())
            .unwrap_or_default()
    }
}

/// A pattern without braces: one for each way to choose among alternatives.
fn alternatives(pattern: &str) -> BTreeSet<String> {
    let mut done = BTreeSet::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(pattern) = todo.pop() {
        match innermost(&pattern).filter(|_| done.len() + todo.len() < ALTERNATIVES) {
            Some((before, choices, after)) => {
                let choices = choices.split(',');
                todo.extend(choices.map(|choice| format!("{before}{choice}{after}")));
            }
            None => {
                done.insert(pattern);
            }
        }
    }
    done
}

/// What is before, in and after a pair of braces that holds no other.
fn innermost(pattern: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = pattern.split_at(pattern[..pattern.find('}')?].rfind('{')?);
    let (choices, after) = rest[1..].split_once('}')?;
    Some((before, choices, after))
}

/// The components before the first with a wildcard.
fn literal(pattern: &str) -> String {
    let components: Vec<&str> = pattern
        .split('/')
        .take_while(|component| !component.contains(['*', '?', '[', '{']))
        .collect();
    components.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Rule, alternatives, literal};
    use crate::kernel::{
        catalogue::{Catalogue, Module},
        modinfo::Modinfo,
    };

    #[test]
    fn braces_are_expanded() {
        for (pattern, want) in [
            ("a/b", "a/b"),
            ("a/{b,c}/*", "a/b/* a/c/*"),
            ("{a/{b,c},d}{e,f}", "a/be a/bf a/ce a/cf de df"),
        ] {
            let got: Vec<String> = alternatives(pattern).into_iter().collect();
            assert_eq!(got.join(" "), want);
        }
        assert!(alternatives(&"{a,b}".repeat(20)).len() < 200);
        assert_eq!(literal("a/b/c*/d"), "a/b");
    }

    #[test]
    fn a_rule_that_matches_nothing_is_explained() {
        let mut catalogue = Catalogue::default();
        for name in ["drivers/ata/ahci", "drivers/scsi/sd_mod", "fs/btrfs/btrfs"] {
            catalogue.add(Module {
                name: name.rsplit('/').next().unwrap().to_owned(),
                path: format!("kernel/{name}.ko").into(),
                bytes: 0,
                info: Modinfo::default(),
            });
        }
        for (pattern, want) in [
            (
                "kernel/drivers/atta/**",
                "; close to it: kernel/drivers/ata",
            ),
            (
                "kernel/drivers/{atta,scssi}/*.ko",
                "; close to it: kernel/drivers/ata",
            ),
            (
                "kernel/fs/btrfs/btrf.ko",
                "; close to it: kernel/fs/btrfs/btrfs.ko",
            ),
            ("drivers/ata/**", "; close to it: kernel/drivers/ata"),
            (
                "kernel/drivers/ata",
                "; kernel/drivers/ata is a folder: kernel/drivers/ata/** takes what is in it",
            ),
            (
                "kernel/drivers/ata/pata_*",
                "; there are modules below kernel/drivers/ata, but none like that",
            ),
            ("nothing/of/this/kind/**", ""),
        ] {
            let rule = Rule::new(pattern).unwrap();
            assert!(!rule.matches_any(&catalogue), "{pattern}");
            let hint = rule.hint(&catalogue);
            assert!(
                hint.starts_with(want) && want.is_empty() == hint.is_empty(),
                "{pattern}{hint}"
            );
        }
        let one_of_two = Rule::new("kernel/drivers/{ata,none}/**").unwrap();
        assert!(one_of_two.matches_any(&catalogue));
    }
}
