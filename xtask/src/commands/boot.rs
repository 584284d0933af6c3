//! `cargo xtask boot`: builds everything, boots a real kernel in QEMU into stage 2, and shows what it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::build;
use crate::disk::{self, Disk, Recipe};
use crate::initrd::profile::Profile;
use crate::initrd::{self, Request};
use crate::kernels::{self, Kernel, Series};
use crate::qemu::{Machine, Outcome};
use crate::{Verdict, paths, progress, summary, tools};

#[derive(clap::Args)]
pub struct Args {
    /// Kernel from Debian's packages
    #[arg(long, value_enum, default_value = "6.1", value_name = "SERIES")]
    kernel: Series,
    /// Any other kernel; needs --modules-dir too
    #[arg(long, value_name = "FILE", requires = "modules_dir")]
    vmlinuz: Option<PathBuf>,
    /// That kernel's modules, …/lib/modules/<release>
    #[arg(long, value_name = "DIR", requires = "vmlinuz")]
    modules_dir: Option<PathBuf>,
    /// Disk to boot from, instead of a new one; the words for it are taken from DISK.json where that exists
    #[arg(long, value_name = "DISK")]
    disk: Option<PathBuf>,
    /// Initrd to boot, instead of a new one
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// More words for the kernel command line
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// Processors
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Memory in MB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Give the console to this terminal (Ctrl-A X ends the machine)
    #[arg(long)]
    interactive: bool,
    /// Where to keep the console's output [default: target/toehold/boot.log]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Trace the boot's system calls, and draw it there (SVG)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "boot.svg", conflicts_with = "interactive")]
    chart: Option<PathBuf>,
    /// End the machine after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&[tools::QEMU])?;
    let kernel = match (&args.vmlinuz, &args.modules_dir) {
        (Some(vmlinuz), Some(modules_dir)) => Kernel::local(vmlinuz, modules_dir)?,
        _ => kernels::fetch(args.kernel)?,
    };
    let initrd = match args.initrd {
        Some(path) => path,
        None => default_initrd(&kernel, args.chart.is_some())?,
    };
    let (disk, words) = match &args.disk {
        Some(path) => (path.clone(), described(path)?),
        None => {
            let disk = disk::make(&Recipe::default())?;
            let words = disk.words();
            (disk.path, words)
        }
    };
    // The init's own 300 s are more than anybody watches an emulator; words given later win.
    let trace = if args.chart.is_some() {
        "rd.earlytrace "
    } else {
        ""
    };
    let append = format!("rd.earlytimeout=60 {words} {trace}{}", args.append);
    let log = args.log.unwrap_or_else(|| paths::output().join("boot.log"));
    let machine = Machine {
        cpus: args.cpus,
        memory: args.memory,
        timeout: Duration::from_secs(args.timeout),
        log: Some(log.clone()),
        echo: true,
        ..Machine::new(kernel.vmlinuz, initrd, disk, append)
    };
    if args.interactive {
        machine.interactive()?;
        return Ok(Verdict::Pass);
    }
    let verdict = judge(&machine.run()?, &log, args.timeout);
    if let Some(chart) = args.chart {
        super::chart::draw(&log, Some(&chart), None)?;
        println!("chart: {}", chart.display());
    }
    Ok(verdict)
}

/// The demo's initrd for this kernel, built now; its init can trace where that is asked for.
fn default_initrd(kernel: &Kernel, traced: bool) -> Result<PathBuf> {
    let step = progress::step("building the init and the initrd");
    let profile = paths::root().join("xtask/profiles/qemu.toml");
    let mut features = Profile::read(&profile)?.features();
    if traced {
        features.push("trace");
    }
    let init = build::init("x86_64", &features)?;
    let built = initrd::build(&Request::new(&kernel.modules_dir, profile, init))?;
    let path = paths::output().join(format!("initrd-{}.img", kernel.release));
    built.write(&path)?;
    step.done();
    Ok(path)
}

/// The words for a disk that `cargo xtask image` made: it left a description beside it.
fn described(disk: &Path) -> Result<String> {
    if !disk.is_file() {
        bail!(
            "{} is no disk image; `cargo xtask image -o DISK` makes one",
            disk.display()
        );
    }
    let path = Disk::description(disk);
    if !path.exists() {
        eprintln!(
            "{} is not there: --append has to say what to boot",
            path.display()
        );
        return Ok(String::new());
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let disk: Disk = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not describe a disk", path.display()))?;
    Ok(disk.words())
}

fn judge(outcome: &Outcome, log: &Path, timeout: u64) -> Verdict {
    println!();
    match (&outcome.report, outcome.log.failed()) {
        (Some(report), _) => {
            print!("{}", summary::boot(&outcome.log, report));
            println!("\nconsole: {}", log.display());
            return Verdict::Pass;
        }
        (None, Some(failed)) => println!("toehold: {failed}"),
        (None, None) if outcome.timed_out => {
            println!("the machine did not reach stage 2 in {timeout} s (--timeout gives it more)");
        }
        (None, None) => println!("the machine ended before it reached stage 2"),
    }
    println!("console: {}", log.display());
    Verdict::Fail
}
