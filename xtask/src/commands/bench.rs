//! `cargo xtask bench`: Toehold against itself without the module pack, a busybox initrd and the floor, in turn, on the same
//! kernel, disk and modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod ratios;
pub mod sizes;
mod table;

use anyhow::{Context, Result, anyhow, ensure};
use schemars::JsonSchema;
use serde::Serialize;
use toehold::format::plan::Plan;

use crate::Verdict;
use crate::lab::build;
use crate::lab::disk::{self, Disk, PARTLABEL, Recipe};
use crate::lab::kernels::{self, Kernel, Series};
use crate::lab::qemu::Machine;
use crate::lab::{busybox, floor, packs, paths, tools};
use crate::measure::matcher;
use crate::measure::quiet::{DISTURBED, Watch};
use crate::measure::size::measure::packed;
use builder::arch::Arch;
use builder::archive::compress::Compression;
use builder::initrd::{Contents, Request};
use builder::look::plan::of_initrd;
use builder::profile::Pack;
use builder::progress;
use ratios::Ratio;

/// The profile that all initrds are made from, and where it has the hash tree and stage 2.
const PROFILE: &str = "xtask/profiles/flatcar.toml";
const HASH_OFFSET: u64 = 1_065_345_024;
const IMAGE: &str = "lib/flatcar/bootengine.img";

/// As it ships.
const TOEHOLD: &str = "toehold";
/// Without the module pack.
const PLAIN: &str = "plain";
const BUSYBOX: &str = "busybox";
const FLOOR: &str = "floor";

/// How often a boot is repeated that other work on this machine disturbed.
const TRIES: usize = 4;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Three boots of each instead of five
    #[arg(long)]
    quick: bool,
    /// Write the figures there, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the consoles there, as NAME-ROUND.log
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// More words for the kernel command line (`initcall_debug` shows what modules take)
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
}

#[derive(clap::Subcommand)]
enum Other {
    /// Compare compressions: bytes of the initrd against the kernel's time to unpack it, and with a busybox initrd
    Sizes(sizes::Args),
}

/// One side of the comparison; times in microseconds.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Side {
    /// Which initrd.
    name: &'static str,
    /// Of what is not in the module pack.
    compress: String,
    /// The initrd's length.
    initrd_bytes: usize,
    /// From the kernel's `Run /init` to stage 2's first line.
    boot: Vec<u64>,
    /// Their median.
    boot_median: u64,
    /// From the kernel's entry to stage 2's first line.
    whole: Vec<u64>,
    /// Their median.
    whole_median: u64,
    /// The kernel's time to unpack the initrd.
    unpacking: Vec<u64>,
    /// Their median.
    unpacking_median: u64,
    /// The part of this machine's processors' time that others took during the boots.
    others: Vec<f64>,
    /// Modules that stage 2 found loaded.
    modules: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Figures {
    /// Its release.
    kernel: String,
    /// Processors of the machine.
    cpus: u32,
    /// Each initrd; times in microseconds.
    sides: Vec<Side>,
    /// One side's time over another's.
    ratios: Vec<Ratio>,
    /// How long the init looks for the drivers of modaliases, in microseconds of processor time.
    matcher: matcher::Figures,
}

pub fn run(args: Args) -> Result<Verdict> {
    if let Some(Other::Sizes(args)) = args.other {
        return sizes::run(args);
    }
    tools::require(&tools::all())?;
    let kernel = kernels::fetch(Series::Generic61)?;
    let disk = disk::make(&Recipe {
        usr_bytes: Some(HASH_OFFSET),
        image_path: IMAGE.to_owned(),
        ..Recipe::default()
    })?;
    let room = tempfile::tempdir()?;
    let mut sides = initrds(&kernel, &disk, room.path())?;
    if let Some(logs) = &args.logs {
        fs::create_dir_all(logs).with_context(|| format!("cannot create {}", logs.display()))?;
    }
    // Every side is told what /usr is: the others have it written into their initrds.
    let words = disk.words_for(&format!("PARTLABEL={PARTLABEL}"));
    let words = format!(
        "{words} mount.usrfstype={} {}",
        disk.filesystem, args.append
    );
    let machine = |name: &str, round: usize| Machine {
        log: args
            .logs
            .as_ref()
            .map(|logs| logs.join(format!("{name}-{round}.log"))),
        ..Machine::new(
            kernel.vmlinuz.clone(),
            room.path().join(name),
            disk.path.clone(),
            words.clone(),
        )
    };

    let runs = if args.quick { 3 } else { 5 };
    let step = progress::step(format!("booting each initrd {runs} times, in turn"));
    for round in 1..=runs {
        for side in &mut sides {
            step.now(&format!("booting {}, {round} of {runs}", side.name));
            measure(&machine(side.name, round), side)?;
        }
    }
    step.done();
    for side in &mut sides {
        side.boot_median = median(&side.boot);
        side.whole_median = median(&side.whole);
        side.unpacking_median = median(&side.unpacking);
    }
    let figures = Figures {
        kernel: kernel.release.clone(),
        cpus: machine("", 0).cpus,
        ratios: ratios::of(&sides),
        matcher: matching(&room.path().join(TOEHOLD))?,
        sides,
    };
    table::show(&figures)?;
    if let Some(path) = args.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let good = figures.ratios.iter().all(Ratio::good) && figures.matcher.good();
    Ok(if good { Verdict::Pass } else { Verdict::Fail })
}

/// All initrds with the same modules, written to `room` under their names. Busybox's is packed with xz, which is smaller and unpacks
/// slower than what the others have.
fn initrds(kernel: &Kernel, disk: &Disk, room: &Path) -> Result<Vec<Side>> {
    let step = progress::step("building the initrds");
    let compress = Compression::Zstd;
    let toehold = |module_pack| {
        let init = build::init(Arch::X86_64)?;
        let profile = paths::root().join(PROFILE);
        let request = Request {
            module_pack: Some(module_pack),
            ..Request::new(&kernel.modules_dir, profile, init)
        };
        let contents = Contents::gather_kept(&request, &packs::keep)?;
        contents.pack(|archive| packed(compress, archive))
    };
    let own = toehold(Pack::Auto)?;
    let busybox = busybox::build(kernel, &own, disk, IMAGE)?;
    let floor = floor::build(&own, disk)?;
    let sides = [
        (TOEHOLD, compress, own.archive),
        (PLAIN, compress, toehold(Pack::None)?.archive),
        (BUSYBOX, Compression::Xz, packed(Compression::Xz, busybox)?),
        (FLOOR, compress, packed(compress, floor)?),
    ];
    step.done();
    let sides = sides.into_iter().map(|(name, compress, archive)| {
        fs::write(room.join(name), &archive)?;
        Ok(Side {
            name,
            compress: compress.to_string(),
            initrd_bytes: archive.len(),
            ..Side::default()
        })
    });
    sides.collect()
}

/// Boots once, and again as long as other work disturbs it: two virtual processors that wait for each other take three times as
/// long where they do not have two real ones.
fn measure(machine: &Machine, side: &mut Side) -> Result<()> {
    let mut tries = 0;
    let (outcome, others) = loop {
        let watch = Watch::start()?;
        let outcome = machine.run()?;
        let others = watch.others()?;
        tries += 1;
        if others < DISTURBED || tries == TRIES {
            break (outcome, others);
        }
    };
    let log = &outcome.log;
    let context = || format!("{} did not reach stage 2:\n{}", side.name, log.tail(30));
    let report = outcome.report.as_ref().with_context(context)?;
    let verity = report.verity();
    ensure!(
        verity
            .get("status")
            .is_some_and(|status| status == "verified"),
        "{} reached stage 2 with a /usr that is not verified: {verity:?}",
        side.name
    );
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let boot = log.boot_time().with_context(context)?;
    let whole = log.time_of_stage2().with_context(context)?;
    let unpacking = log
        .unpacking()
        .context("the kernel did not log its unpacking")?;
    side.others.push(others);
    side.boot.push(micros(boot));
    side.whole.push(micros(whole));
    side.unpacking.push(micros(unpacking));
    side.modules = report.modules.len();
    Ok(())
}

/// The time of the matcher on this machine, with the plan of this initrd.
fn matching(initrd: &Path) -> Result<matcher::Figures> {
    let plan = of_initrd(initrd)?;
    let plan = Plan::parse(&plan)
        .map_err(|refused| anyhow!("the initrd's plan is refused: {refused:?}"))?;
    Ok(matcher::measure(&plan))
}

/// The middle one, the higher of two.
fn median(values: &[u64]) -> u64 {
    let mut values = values.to_owned();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
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
