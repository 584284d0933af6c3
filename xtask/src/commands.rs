//! The subcommands, one file each: `Args` for clap, and `run`.

use anyhow::Result;

pub mod bench;
pub mod boot;
pub mod build;
pub mod ci;
pub mod image;
pub mod initrd;
pub mod plan;
pub mod size;
pub mod test;

/// A subcommand's arguments as they are when none is given.
fn defaults<A: clap::Args>() -> Result<A> {
    let command = A::augment_args(clap::Command::new("xtask"));
    Ok(A::from_arg_matches(
        &command.try_get_matches_from(["xtask"])?,
    )?)
}
