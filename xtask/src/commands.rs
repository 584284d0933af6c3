//! The subcommands, one file each: `Args` for clap, and `run`.

use anyhow::Result;

pub use builder::commands::{check, coverage, extract, initrd, list, plan, print, profile};

pub mod bench;
pub mod boot;
pub mod build;
pub mod chart;
pub mod ci;
pub mod dist;
pub mod fuzz;
pub mod image;
pub mod results;
pub mod size;
pub mod test;
pub mod uki;

/// A subcommand's arguments as they are when none is given.
fn defaults<A: clap::Args>() -> Result<A> {
    let command = A::augment_args(clap::Command::new("xtask"));
    Ok(A::from_arg_matches(
        &command.try_get_matches_from(["xtask"])?,
    )?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Args;

    use crate::lab::paths;

    /// The page for packagers has no option that there is not.
    #[test]
    fn options_for_packagers_exist() {
        let path = paths::root().join("xtask/profiles/README.md");
        let page = fs::read_to_string(path).unwrap();
        let lines = page.replace("\\\n", " ");
        let mut seen = 0;
        for (name, command) in [
            (
                "toehold-mkinitrd ",
                super::initrd::Args::augment_args(clap::Command::new("")),
            ),
            (
                "cargo xtask uki ",
                super::uki::Args::augment_args(clap::Command::new("")),
            ),
        ] {
            for line in lines.lines().filter_map(|line| line.split_once(name)) {
                let words = line
                    .1
                    .split_whitespace()
                    .filter_map(|word| word.strip_prefix("--"));
                for word in words {
                    let mut options = command.get_arguments();
                    let found = options.any(|option| option.get_long() == Some(word));
                    assert!(found, "{name}: no option --{word}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "only {seen} options on the page");
    }
}
