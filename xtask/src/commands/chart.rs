//! `cargo xtask chart`: the picture of a boot, from its log.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Verdict;
use crate::measure::chart::{self, Boot};

#[derive(clap::Args)]
pub struct Args {
    /// Serial log, dmesg's output or /run/toehold/trace; best of a boot with rd.earlytrace
    log: PathBuf,
    /// Where to write the picture
    #[arg(short, long, value_name = "SVG", required_unless_present = "perfetto")]
    output: Option<PathBuf>,
    /// Where to write a trace for Perfetto and chrome://tracing
    #[arg(long, value_name = "JSON")]
    perfetto: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Verdict> {
    draw(&args.log, args.output.as_deref(), args.perfetto.as_deref())?;
    Ok(Verdict::Pass)
}

/// Reads `log` and writes what is asked for.
pub fn draw(log: &Path, picture: Option<&Path>, perfetto: Option<&Path>) -> Result<()> {
    let bytes = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let boot =
        Boot::read(&text).with_context(|| format!("nothing to draw in {}", log.display()))?;
    for (path, text) in [
        (picture, chart::draw as fn(&Boot) -> String),
        (perfetto, chart::json),
    ] {
        if let Some(path) = path {
            fs::write(path, text(&boot))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
