//! `cargo xtask build`: the init, at `target/toehold/<arch>/init`.

use std::fs;

use anyhow::Result;
use builder::arch::Arch;

use super::print;
use crate::Verdict;
use crate::lab::build::init;

#[derive(clap::Args)]
pub struct Args {
    /// Architecture to build for
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
}

pub fn run(args: Args) -> Result<Verdict> {
    let path = init(args.arch)?;
    print(format_args!(
        "{}  {} bytes\n",
        path.display(),
        fs::metadata(&path)?.len()
    ))?;
    Ok(Verdict::Pass)
}
