//! `cargo xtask chart`: the picture of a boot, from its log.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Verdict;
use crate::measure::chart::{self, Boot};
use builder::initrd::manifest::{self, Manifest};

#[derive(clap::Args)]
pub struct Args {
    /// Serial log, dmesg's output or /run/toehold/trace; best of a boot with rd.earlytrace
    log: PathBuf,
    /// Where to write the picture
    #[arg(short, long, value_name = "SVG", required_unless_present = "perfetto")]
    output: Option<PathBuf>,
    /// The initrd of that boot: the manifest beside it, IMG.json, tells what each group of modules takes in the pack
    #[arg(long, value_name = "IMG")]
    initrd: Option<PathBuf>,
    /// Where to write a trace for Perfetto and chrome://tracing
    #[arg(long, value_name = "JSON")]
    perfetto: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Verdict> {
    let manifest = match &args.initrd {
        None => None,
        Some(initrd) => {
            let missing = || format!("there is no {}", manifest::path(initrd).display());
            Some(Manifest::beside(initrd)?.with_context(missing)?)
        }
    };
    let (picture, perfetto) = (args.output.as_deref(), args.perfetto.as_deref());
    draw(&args.log, manifest.as_ref(), picture, perfetto)?;
    Ok(Verdict::Pass)
}

/// Reads `log` and writes what is asked for; with the initrd's manifest it tells more.
pub fn draw(
    log: &Path,
    manifest: Option<&Manifest>,
    picture: Option<&Path>,
    perfetto: Option<&Path>,
) -> Result<()> {
    let bytes = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut boot =
        Boot::read(&text).with_context(|| format!("nothing to draw in {}", log.display()))?;
    if let Some(manifest) = manifest {
        boot.tell_packed(manifest);
    }
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
