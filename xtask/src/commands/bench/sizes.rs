//! `cargo xtask bench sizes`: what an initrd takes by compressor, compression of the modules, and stripping, against the time until
//! stage 2 runs; what it takes of the busybox initrd with the same modules under the same compressor; and what groups of the module
//! pack take by their size.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod by_group;
mod limits;
mod ways;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::{HASH_OFFSET, IMAGE, PROFILE};
use crate::Verdict;
use crate::lab::disk::{self, Disk, Recipe};
use crate::lab::kernels::{self, Kernel, Series};
use crate::lab::qemu::Machine;
use crate::lab::{build, packs, paths, tools};
use builder::archive::compress::Compression;
use builder::initrd::{Contents, Request};
use builder::profile::Pack;
use builder::progress;
use by_group::Row;
use limits::Limit;
use ways::Way;

/// How often each is booted; the shortest counts. The disk is read in the host's time, not in that of the clock that counts
/// instructions: what is longer waited for it.
const BOOTS: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Measure bytes only, and boot nothing
    #[arg(long)]
    no_boot: bool,
    /// Only the sizes that groups of the module pack can have
    #[arg(long)]
    groups: bool,
    /// Write the figures there, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize, JsonSchema)]
pub struct Figures {
    /// Ways to pack an initrd.
    ways: Vec<Way>,
    /// The module pack by the size of its groups.
    by_group: Vec<Row>,
    /// What is allowed.
    limits: Vec<Limit>,
}

/// Times of a boot with one processor and a clock that counts instructions: a nanosecond each.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub struct Times {
    /// The kernel's, to unpack the initrd.
    unpacking_us: u64,
    /// From the kernel's `Run /init` to stage 2's first line.
    init_us: u64,
    /// From the kernel's entry to stage 2's first line.
    stage2_us: u64,
}

/// A kernel, the profile of its initrds, and a disk that they find stage 2 on.
struct Ground {
    series: Series,
    kernel: Kernel,
    profile: PathBuf,
    disk: Disk,
    boots: bool,
}

/// How the modules go into an initrd.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Modules {
    /// Each packed by itself; none for the module pack.
    compress: Option<Compression>,
    stripped: bool,
    /// Bytes of a group of the pack, instead of what is usual.
    group_bytes: Option<u64>,
}

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&tools::all())?;
    let ground = |series, profile| Ground::find(series, profile, !args.no_boot);
    let flatcar = ground(Series::Generic61, PROFILE)?;
    let mut ways = Vec::new();
    if !args.groups {
        let others = [
            ground(Series::Cloud612, "xtask/profiles/qemu.toml")?,
            ground(Series::Arm61, PROFILE)?,
        ];
        for ground in [&flatcar].into_iter().chain(&others) {
            ways.extend(ways::measure(ground)?);
        }
    }
    let limits = limits::check(&ways);
    if !args.groups {
        // What follows takes as long again.
        let verdicts: String = limits.iter().map(Limit::text).collect();
        crate::commands::print(format_args!("{}\n{verdicts}\n", ways::text(&ways)))?;
    }
    let by_group = by_group::measure(&flatcar)?;
    crate::commands::print(by_group::text(&by_group))?;
    let good = limits.iter().all(Limit::good);
    if let Some(path) = &args.json {
        let figures = Figures {
            ways,
            by_group,
            limits,
        };
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if good { Verdict::Pass } else { Verdict::Fail })
}

impl Ground {
    fn find(series: Series, profile: &str, boots: bool) -> Result<Self> {
        let mut recipe = Recipe {
            arch: series.arch(),
            ..Recipe::default()
        };
        if profile == PROFILE {
            recipe.usr_bytes = Some(HASH_OFFSET);
            recipe.image_path = IMAGE.to_owned();
        }
        Ok(Self {
            series,
            kernel: kernels::fetch(series)?,
            profile: paths::root().join(profile),
            disk: disk::make(&recipe)?,
            boots,
        })
    }

    /// What an initrd is made of.
    fn contents(&self, modules: Modules) -> Result<Contents> {
        let room = tempfile::tempdir()?;
        let profile = room.path().join("profile.toml");
        fs::write(&profile, stripping(&self.profile, modules.stripped)?)?;
        let init = build::init(self.series.arch())?;
        let request = Request {
            arch: self.series.arch(),
            module_compress: modules.compress,
            module_pack: modules.compress.is_none().then_some(Pack::Auto),
            group_bytes: modules.group_bytes,
            ..Request::new(&self.kernel.modules_dir, profile, init)
        };
        Contents::gather_kept(&request, &packs::keep)
    }

    /// Boots an initrd, unless nothing is to be booted.
    fn boot(&self, initrd: &[u8]) -> Result<Option<Times>> {
        if !self.boots {
            return Ok(None);
        }
        let room = paths::room()?;
        let path = room.path().join("initrd");
        fs::write(&path, initrd)?;
        let step = progress::step(format!("booting, {BOOTS} times"));
        let words = format!("PARTLABEL={}", disk::PARTLABEL);
        let words = self.disk.words_for(&words);
        let (vmlinuz, drive) = (self.kernel.vmlinuz.clone(), self.disk.path.clone());
        let machine = Machine {
            arch: self.series.arch(),
            cpus: 1,
            counts_instructions: true,
            ..Machine::new(vmlinuz, path, drive, words)
        };
        let boots = (0..BOOTS).map(|_| timed(&machine));
        let boots = boots.collect::<Result<Vec<_>>>()?;
        step.done();
        Ok(boots.into_iter().min_by_key(|times| times.stage2_us))
    }
}

/// Boots once.
fn timed(machine: &Machine) -> Result<Times> {
    let log = machine.run()?.log;
    let micros = |time: Option<Duration>| {
        let time = time.with_context(|| {
            let tail = log.tail(20);
            format!("the kernel did not tell of its unpacking, or stage 2 was not reached:\n{tail}")
        })?;
        Ok::<_, anyhow::Error>(u64::try_from(time.as_micros())?)
    };
    Ok(Times {
        unpacking_us: micros(log.unpacking())?,
        init_us: micros(log.boot_time())?,
        stage2_us: micros(log.time_of_stage2())?,
    })
}

/// A profile whose modules are stripped, or not.
fn stripping(profile: &Path, stripped: bool) -> Result<String> {
    let mut text: toml::Table = fs::read_to_string(profile)?.parse()?;
    let modules = text.get_mut("modules").and_then(toml::Value::as_table_mut);
    let strip = if stripped { "always" } else { "auto" };
    modules
        .context("the profile has modules")?
        .insert("strip".to_owned(), strip.into());
    Ok(text.to_string())
}

/// Milliseconds, or nothing where there was no boot.
fn time(times: Option<Times>, of: fn(Times) -> u64) -> String {
    let shown = |times| crate::measure::size::table::grouped(of(times) / 1000);
    times.map_or(String::new(), shown)
}
