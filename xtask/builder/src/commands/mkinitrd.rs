//! `toehold-mkinitrd`: `cargo xtask initrd` as a program of its own, for machines without cargo.

use anyhow::Result;
use clap::Parser;

use super::initrd;
use crate::Verdict;
use crate::shipped::Release;

/// Builds the initrd of a kernel: Toehold's init, a profile's modules and the plan to load them by.
///
/// It needs no root, no network and no depmod, and the same input gives the same bytes. OUT.json tells what is in the initrd and why. Exit codes:
/// 0 done, 2 could not run.
#[derive(Parser)]
#[command(name = "toehold-mkinitrd", version)]
pub struct Cli {
    #[command(flatten)]
    args: initrd::Args,
}

pub fn run() -> Result<Verdict> {
    let args = Cli::parse().args;
    initrd::run(args, &Release::of_program()?)
}
