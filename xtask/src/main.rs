//! The command line: one variant for each subcommand, each with its file in `commands/`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{Verdict, commands, lab::checkout::Checkout};

/// Builds Toehold's initrd, guards its size and boots it on real kernels.
///
/// Exit codes: 0 done, 1 what was checked does not hold, 2 could not run.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the init: one static ELF, stripped to what the kernel loads
    Build(commands::build::Args),
    /// Build an initrd from a kernel's modules and a profile, with a manifest
    Initrd(commands::initrd::Args),
    /// Print a profile made from the machine that this runs on, or from a folder with a root
    Profile(commands::profile::Args),
    /// Say what is wrong with a profile, for a kernel or for any; exit 1 if something is
    Check(commands::check::Args),
    /// Build a unified kernel image: kernel, command line and initrd in one file for UEFI
    Uki(commands::uki::Args),
    /// Show the module plan of an initrd, or what a modalias would load
    Plan(commands::plan::Args),
    /// List what any initrd holds, piece by piece
    List(commands::list::Args),
    /// Take the files out of any initrd; exit 1 if some are refused
    ///
    /// Later pieces overwrite earlier ones, as the kernel does it, and modules come out of the
    /// module pack, too. The initrd's root is DIR: links are made as they are, but nothing is
    /// written through them to another place. What would lie outside of DIR is refused. Devices
    /// and owners need root.
    Extract(commands::extract::Args),
    /// Show which drivers and hardware an initrd lost and gained; exit 1 on a loss
    Coverage(commands::coverage::Args),
    /// Boot a real kernel in QEMU into stage 2, building whatever is missing
    Boot(commands::boot::Args),
    /// Draw a boot from its log: stages, modules, and what it waited for
    Chart(commands::chart::Args),
    /// Compare with a busybox initrd on the same kernel, disk and modules
    Bench(commands::bench::Args),
    /// Make a test disk with a verity-protected /usr
    Image(commands::image::Args),
    /// Weigh the init and the initrds against size-budget.toml
    Size(commands::size::Args),
    /// Run every test and the size gate
    Test(commands::test::Args),
    /// Run libFuzzer on the parsers
    Fuzz(commands::fuzz::Args),
    /// Show what the last `test --all` has seen to boot
    Results(commands::results::Args),
    /// Make the release archive: builder, inits, manual, licences
    Dist(commands::dist::Args),
    /// Run what CI runs: format, lints, tests and sizes
    Ci(commands::ci::Args),
}

impl Command {
    fn run(self) -> Result<Verdict> {
        match self {
            Self::Build(args) => commands::build::run(args),
            Self::Initrd(args) => commands::initrd::run(args, &Checkout),
            Self::Profile(args) => commands::profile::run(args),
            Self::Check(args) => commands::check::run(args, &Checkout),
            Self::Uki(args) => commands::uki::run(args),
            Self::Plan(args) => commands::plan::run(args, &Checkout),
            Self::List(args) => commands::list::run(args),
            Self::Extract(args) => commands::extract::run(args),
            Self::Coverage(args) => commands::coverage::run(args),
            Self::Boot(args) => commands::boot::run(args),
            Self::Chart(args) => commands::chart::run(args),
            Self::Bench(args) => commands::bench::run(args),
            Self::Image(args) => commands::image::run(args),
            Self::Size(args) => commands::size::run(args),
            Self::Test(args) => commands::test::run(args),
            Self::Fuzz(args) => commands::fuzz::run(args),
            Self::Results(args) => commands::results::run(args),
            Self::Dist(args) => commands::dist::run(args),
            Self::Ci(args) => commands::ci::run(args),
        }
    }
}

fn main() -> ExitCode {
    xtask::exit_code(Cli::parse().command.run())
}
