//! `cargo xtask boot`: builds everything, boots a real kernel in QEMU into stage 2, and shows what it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::print;
use crate::Verdict;
use crate::lab::build;
use crate::lab::disk::{self, Disk, Recipe};
use crate::lab::kernels::{self, Kernel, Series};
use crate::lab::qemu::firmware::Variables;
use crate::lab::qemu::{self, Machine, Outcome};
use crate::lab::{paths, tools, uki};
use crate::measure::summary;
use builder::arch::Arch;
use builder::initrd::{self, Request, manifest::Manifest};
use builder::{message, progress};
use toehold::shared::LOG_PREFIX;

#[derive(clap::Args)]
pub struct Args {
    /// Kernel from Debian's packages
    #[arg(long, value_enum, default_value = "6.1", value_name = "SERIES")]
    kernel: Series,
    /// Architecture of the machine
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
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
    /// Start through UEFI firmware from a unified kernel image on the disk; a --disk has to have one, at EFI/BOOT/BOOTX64.EFI or BOOTAA64.EFI
    #[arg(long)]
    uefi: bool,
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
    /// Boot so many times, one after the other, up to the first that fails
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["interactive", "chart"])]
    repeat: u32,
}

/// Bytes of an EFI system partition that has room for a kernel.
const ESP_BYTES: u64 = 64 << 20;

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&tools::machine(args.arch))?;
    let log = args.log.clone();
    let log = log.unwrap_or_else(|| paths::output().join("boot.log"));
    let room = paths::room()?;
    let (machine, initrd) = machine(&args, room.path())?;
    let machine = Machine {
        arch: args.arch,
        cpus: args.cpus,
        memory: args.memory,
        timeout: Duration::from_secs(args.timeout),
        log: Some(log.clone()),
        echo: args.repeat == 1,
        ..machine
    };
    if args.interactive {
        machine.interactive()?;
        return Ok(Verdict::Pass);
    }
    if args.repeat > 1 {
        return repeat(&machine, &log, &args);
    }
    let verdict = judge(&machine.run()?, &log, args.timeout)?;
    if let Some(chart) = args.chart {
        let manifest = initrd.as_deref().map(Manifest::beside).transpose()?;
        super::chart::draw(&log, manifest.flatten().as_ref(), Some(&chart), None)?;
        print(format_args!("chart: {}\n", chart.display()))?;
    }
    Ok(verdict)
}

/// Boots again and again; tells when stage 2 was reached each time, and in the end how often that was.
fn repeat(machine: &Machine, log: &Path, args: &Args) -> Result<Verdict> {
    for number in 1..=args.repeat {
        let outcome = machine.run()?;
        match (&outcome.report, outcome.log.stage2()) {
            (Some(_), Some(at)) => print(format_args!(
                "{number}: stage 2 after {} ms\n",
                at.as_millis()
            ))?,
            _ => {
                print(format_args!(
                    "{} of {} boots reached stage 2; then:\n",
                    number - 1,
                    args.repeat
                ))?;
                let _ = judge(&outcome, log, args.timeout)?;
                return Ok(Verdict::Fail);
            }
        }
    }
    print(format_args!(
        "{0} of {0} boots reached stage 2\n",
        args.repeat
    ))?;
    Ok(Verdict::Pass)
}

/// What is to be started, and the initrd where that is a file of its own; files for this boot only lie in `room`.
fn machine(args: &Args, room: &Path) -> Result<(Machine, Option<PathBuf>)> {
    let series = args.kernel.on(args.arch)?;
    if args.uefi {
        tools::require(tools::UEFI)?;
    }
    let variables = room.join("variables");
    if let (Some(disk), true) = (&args.disk, args.uefi) {
        ensure!(
            args.initrd.is_none()
                && args.vmlinuz.is_none()
                && args.append.is_empty()
                && args.chart.is_none(),
            "with --uefi a --disk brings everything: kernel, initrd and command line are those of its unified kernel image"
        );
        let variables = Variables::create(args.arch, &variables)?;
        return Ok((Machine::from_disk(variables, disk.clone()), None));
    }
    let kernel = match (&args.vmlinuz, &args.modules_dir) {
        (Some(vmlinuz), Some(modules_dir)) => Kernel::local(vmlinuz, modules_dir)?,
        _ => kernels::fetch(series)?,
    };
    let initrd = match &args.initrd {
        Some(path) => path.clone(),
        None => default_initrd(args.arch, &kernel)?,
    };
    // The init's own 300 s are more than anybody watches an emulator; words given later win.
    let append = |words: String| {
        let trace = if args.chart.is_some() {
            "rd.earlytrace "
        } else {
            ""
        };
        format!("rd.earlytimeout=60 {words} {trace}{}", args.append)
    };
    if args.uefi {
        let disk = disk::make(&Recipe {
            arch: args.arch,
            esp_bytes: ESP_BYTES,
            ..Recipe::default()
        })?;
        let disk = disk.copy(&room.join("disk.img"))?;
        let uki = uki::build(&uki::Request {
            stub: uki::stub(args.arch)?,
            vmlinuz: kernel.vmlinuz,
            initrd: initrd.clone(),
            cmdline: qemu::command_line(args.arch, &append(disk.words())),
            os_release: None,
            uname: None,
        })?;
        let file = room.join("uki.efi");
        fs::write(&file, uki.image).context("cannot write the unified kernel image")?;
        disk.put_on_esp(&file, uki::fallback_path(args.arch))?;
        let variables = Variables::create(args.arch, &variables)?;
        return Ok((Machine::from_disk(variables, disk.path), Some(initrd)));
    }
    let (disk, words) = match &args.disk {
        Some(path) => (path.clone(), described(path)?),
        None => {
            let disk = disk::make(&Recipe {
                arch: args.arch,
                ..Recipe::default()
            })?;
            let words = disk.words();
            (disk.path, words)
        }
    };
    let machine = Machine::new(kernel.vmlinuz, initrd.clone(), disk, append(words));
    Ok((machine, Some(initrd)))
}

/// The demo's initrd for this kernel, built now.
fn default_initrd(arch: Arch, kernel: &Kernel) -> Result<PathBuf> {
    let step = progress::step("building the init and the initrd");
    let profile = paths::root().join("xtask/profiles/qemu.toml");
    let init = build::init(arch)?;
    let built = initrd::build(&Request {
        arch,
        ..Request::new(&kernel.modules_dir, profile, init)
    })?;
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
        message::warning(format_args!(
            "{} is not there: --append has to say what to boot",
            path.display()
        ));
        return Ok(String::new());
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let disk: Disk = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not describe a disk", path.display()))?;
    Ok(disk.words())
}

fn judge(outcome: &Outcome, log: &Path, timeout: u64) -> Result<Verdict> {
    print("\n")?;
    match (&outcome.report, outcome.log.failed()) {
        (Some(report), _) => {
            print(format_args!("{}", summary::boot(&outcome.log, report)))?;
            print(format_args!("\nconsole: {}\n", log.display()))?;
            return Ok(Verdict::Pass);
        }
        (None, Some(failed)) => print(format_args!("{LOG_PREFIX}{failed}\n"))?,
        (None, None) if outcome.timed_out => {
            print(format_args!(
                "the machine did not reach stage 2 in {timeout} s (--timeout gives it more)\n"
            ))?;
        }
        (None, None) => print(format_args!(
            "the machine ended before it reached stage 2\n"
        ))?,
    }
    print(format_args!("console: {}\n", log.display()))?;
    Ok(Verdict::Fail)
}
