//! `toehold-mkinitrd`: `cargo xtask initrd` as a program of its own, for machines without cargo, and what looks into an initrd.

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use super::{check, extract, initrd, list, profile};
use crate::Verdict;
use crate::shipped::Release;

/// Builds the initrd of a kernel: Toehold's init, a profile's modules and the plan to load them by.
///
/// It needs no root, no network and no depmod, and the same input gives the same bytes. OUT.json tells what is in the initrd and why. Exit codes:
/// 0 done, 1 some files were refused (extract) or something is wrong (check), 2 could not run.
#[derive(Parser)]
#[command(
    name = "toehold-mkinitrd",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(flatten)]
    args: Option<initrd::Args>,
    #[command(subcommand)]
    look: Option<Look>,
}

/// What makes or looks into a profile or an initrd instead.
#[derive(Subcommand)]
enum Look {
    /// Print a profile made from the machine that this runs on, or from a folder with a root
    Profile(profile::Args),
    /// Say what is wrong with a profile, for a kernel or for any; exit 1 if something is
    Check(check::Args),
    /// List what any initrd holds, piece by piece
    List(list::Args),
    /// Take the files out of any initrd; exit 1 if some are refused
    Extract(extract::Args),
}

pub fn run() -> Result<Verdict> {
    let Cli { args, look } = Cli::parse();
    match (look, args) {
        (Some(Look::Profile(args)), _) => profile::run(args),
        (Some(Look::Check(args)), _) => check::run(args, &Release::of_program()?),
        (Some(Look::List(args)), _) => list::run(args),
        (Some(Look::Extract(args)), _) => extract::run(args),
        (None, Some(args)) => initrd::run(args, &Release::of_program()?),
        // The parser has asked for those that are needed.
        (None, None) => Cli::command()
            .error(ErrorKind::MissingSubcommand, "nothing to do")
            .exit(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Look};
    use clap::{CommandFactory, Parser, error::ErrorKind};

    #[test]
    fn a_command_or_what_an_initrd_needs() {
        Cli::command().debug_assert();
        let parse = |words: &str| {
            let words = format!("toehold-mkinitrd {words}");
            Cli::try_parse_from(words.split_whitespace()).map_err(|error| error.kind())
        };
        let built = parse("--modules-dir m --profile qemu -o out").unwrap();
        assert!(built.args.is_some() && built.look.is_none());
        let listed = parse("list initrd.img --json").unwrap();
        assert!(listed.args.is_none() && matches!(listed.look, Some(Look::List(_))));
        let extracted = parse("extract initrd.img -o folder").unwrap();
        assert!(matches!(extracted.look, Some(Look::Extract(_))));
        let checked = parse("check my.toml --modules-dir m").unwrap();
        assert!(checked.args.is_none() && matches!(checked.look, Some(Look::Check(_))));
        let drawn = parse("profile --root /mnt").unwrap();
        assert!(drawn.args.is_none() && matches!(drawn.look, Some(Look::Profile(_))));
        for words in ["", "--profile qemu", "extract initrd.img"] {
            let missing = Some(ErrorKind::MissingRequiredArgument);
            assert_eq!(parse(words).err(), missing, "{words}");
        }
        assert!(parse("--profile qemu list initrd.img").is_err());
    }
}
