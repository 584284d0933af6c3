//! `cargo xtask bench`: Toehold against a busybox initrd, alternating, on the same kernel, disk and modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::build;
use crate::disk::{self, Disk, PARTLABEL, Recipe};
use crate::initrd::compress::Compression;
use crate::initrd::{self, Request};
use crate::kernels::{self, Kernel, Series};
use crate::qemu::Machine;
use crate::summary::milliseconds;
use crate::{Verdict, busybox, paths, progress, tools};

/// Toehold may take this part of the busybox initrd's time.
const ALLOWED: f64 = 0.45;

#[derive(clap::Args)]
pub struct Args {
    /// Three boots of each instead of five
    #[arg(long)]
    quick: bool,
    /// Write the figures there, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One side of the comparison; times in microseconds.
#[derive(Debug, Default, Serialize)]
struct Side {
    name: &'static str,
    initrd_bytes: usize,
    /// From the kernel's `Run /init` to stage 2's first line.
    boot: Vec<u64>,
    boot_median: u64,
    /// The kernel's time to unpack the initrd.
    unpacking: Vec<u64>,
    unpacking_median: u64,
    /// Modules that stage 2 found loaded.
    modules: usize,
}

#[derive(Debug, Serialize)]
struct Figures {
    kernel: String,
    cpus: u32,
    toehold: Side,
    busybox: Side,
    /// Toehold's median boot over the busybox initrd's.
    ratio: f64,
    allowed: f64,
}

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&tools::all())?;
    let kernel = kernels::fetch(Series::Cloud61)?;
    let recipe = Recipe::default();
    let disk = disk::make(&recipe)?;
    let room = tempfile::tempdir()?;
    let [mut toehold, mut busybox] = initrds(&kernel, &disk, &recipe.image_path, room.path())?;
    let machine = |initrd: &str| {
        let words = disk.words_for(&format!("PARTLABEL={PARTLABEL}"));
        Machine::new(
            kernel.vmlinuz.clone(),
            room.path().join(initrd),
            disk.path.clone(),
            words,
        )
    };

    let runs = if args.quick { 3 } else { 5 };
    let step = progress::step(format!("booting each initrd {runs} times, in turn"));
    for _ in 0..runs {
        for side in [&mut toehold, &mut busybox] {
            step.now(&format!(
                "booting {}, {} of {runs}",
                side.name,
                side.boot.len() + 1
            ));
            measure(&machine(side.name), side)?;
        }
    }
    step.done();
    for side in [&mut toehold, &mut busybox] {
        side.boot_median = median(&side.boot);
        side.unpacking_median = median(&side.unpacking);
    }
    let ratio = toehold.boot_median as f64 / busybox.boot_median as f64;
    let figures = Figures {
        kernel: kernel.release.clone(),
        cpus: machine("").cpus,
        toehold,
        busybox,
        ratio,
        allowed: ALLOWED,
    };
    print(&figures);
    if let Some(path) = args.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if ratio <= ALLOWED {
        Verdict::Pass
    } else {
        Verdict::Fail
    })
}

/// Both initrds with the same modules and the same compression, written to `room` under their names.
fn initrds(kernel: &Kernel, disk: &Disk, image_path: &str, room: &Path) -> Result<[Side; 2]> {
    let step = progress::step("building both initrds");
    let compress = Compression::Zstd;
    let built = initrd::build(&Request {
        compress,
        ..Request::new(
            &kernel.modules_dir,
            paths::root().join("xtask/profiles/qemu.toml"),
            build::init("x86_64", &[])?,
        )
    })?;
    let other = busybox::build(kernel, &built, disk, image_path, compress)?;
    step.done();
    let side = |name, archive: &[u8]| {
        fs::write(room.join(name), archive)?;
        anyhow::Ok(Side {
            name,
            initrd_bytes: archive.len(),
            ..Side::default()
        })
    };
    Ok([side("toehold", &built.archive)?, side("busybox", &other)?])
}

fn measure(machine: &Machine, side: &mut Side) -> Result<()> {
    let outcome = machine.run()?;
    let log = &outcome.log;
    let context = || format!("{} did not reach stage 2:\n{}", side.name, log.tail(30));
    let report = outcome.report.as_ref().with_context(context)?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let boot = log.boot_time().with_context(context)?;
    let unpacking = log
        .unpacking()
        .context("the kernel did not log its unpacking")?;
    side.boot.push(micros(boot));
    side.unpacking.push(micros(unpacking));
    side.modules = report.modules.len();
    Ok(())
}

/// The middle one, the higher of two.
fn median(values: &[u64]) -> u64 {
    let mut values = values.to_owned();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn print(figures: &Figures) {
    println!(
        "Linux {}, {} processors, software emulation; medians of {}\n",
        figures.kernel,
        figures.cpus,
        figures.toehold.boot.len()
    );
    println!(
        "{:<34} {:>10} {:>10}",
        "", figures.toehold.name, figures.busybox.name
    );
    let row = |name: &str, of: &dyn Fn(&Side) -> String| {
        println!(
            "{name:<34} {:>10} {:>10}",
            of(&figures.toehold),
            of(&figures.busybox)
        );
    };
    row("Run /init to stage 2, ms", &|side| {
        milliseconds(Duration::from_micros(side.boot_median))
    });
    row("the kernel's unpacking, ms", &|side| {
        milliseconds(Duration::from_micros(side.unpacking_median))
    });
    row("initrd, bytes", &|side| side.initrd_bytes.to_string());
    row("modules loaded", &|side| side.modules.to_string());
    println!(
        "\nToehold takes {:.3} of the time; {:.2} is allowed",
        figures.ratio, figures.allowed
    );
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_middle() {
        assert_eq!(median(&[5, 1, 9]), 5);
        assert_eq!(median(&[5, 1]), 5);
        assert_eq!(median(&[]), 0);
    }
}
