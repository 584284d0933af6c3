//! `cargo xtask build`: the init, at `target/toehold/<arch>/init`.

use std::fs;

use anyhow::Result;
use builder::arch::Arch;

use crate::{Verdict, lab::build::init};

#[derive(clap::Args)]
pub struct Args {
    /// Architecture to build for
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Cargo features of the package `toehold` to switch on
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
}

pub fn run(args: Args) -> Result<Verdict> {
    let features: Vec<&str> = args.features.iter().map(String::as_str).collect();
    let path = init(args.arch, &features)?;
    println!("{}  {} bytes", path.display(), fs::metadata(&path)?.len());
    Ok(Verdict::Pass)
}
