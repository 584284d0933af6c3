//! `cargo xtask bench sizes`: what an initrd takes by compressor, compression of the modules, and stripping, against the kernel's time to
//! unpack it; and what it takes of the busybox initrd with the same modules under the same compressor.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{HASH_OFFSET, IMAGE, PROFILE};
use crate::Verdict;
use crate::lab::build;
use crate::lab::disk::{self, Disk, Recipe};
use crate::lab::kernels::{self, Kernel, Series};
use crate::lab::qemu::Machine;
use crate::lab::{busybox, paths, tools};
use crate::measure::size::measure::packed;
use crate::measure::size::table::{Style, grouped, table};
use builder::arch::Arch;
use builder::archive::compress::Compression::{self, Gzip, None as Uncompressed, Xz, Zstd};
use builder::initrd::{self, Built, Request};
use builder::progress;

/// Parts of a busybox initrd with the modules of Debian's package that Toehold's may take: with the same modules, and with stripped ones.
const ALLOWED: [f64; 2] = [0.72, 0.62];

#[derive(clap::Args)]
pub struct Args {
    /// Measure bytes only, and boot nothing
    #[arg(long)]
    no_boot: bool,
    /// Write the figures there, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One way to pack.
#[derive(Debug, Serialize)]
struct Way {
    kernel: String,
    compress: String,
    modules: String,
    stripped: bool,
    bytes: usize,
    /// The kernel's time to unpack it, with a clock that counts instructions: a nanosecond each.
    unpacking_us: Option<u64>,
    /// A busybox initrd with the same modules, packed the same way.
    busybox_bytes: Option<usize>,
}

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&tools::all())?;
    let flatcar = paths::root().join(PROFILE);
    let qemu = paths::root().join("xtask/profiles/qemu.toml");
    let disk = disk::make(&Recipe {
        usr_bytes: Some(HASH_OFFSET),
        image_path: IMAGE.to_owned(),
        ..Recipe::default()
    })?;
    let mut ways = Vec::new();
    for (series, profile, modules) in [
        (Series::Generic61, &flatcar, &[Uncompressed][..]),
        // Its kernel decompresses modules that are packed with xz.
        (Series::Cloud612, &qemu, &[Uncompressed, Xz]),
    ] {
        let kernel = kernels::fetch(series)?;
        for module_compress in modules {
            for stripped in [false, true] {
                let built = unpacked(&kernel, profile, *module_compress, stripped)?;
                let other = (series == Series::Generic61)
                    .then(|| busybox::build(&kernel, &built, &disk, IMAGE))
                    .transpose()?;
                for compress in [Gzip, Xz, Zstd, Uncompressed] {
                    let archive = packed(compress, built.archive.clone())?;
                    let other = other
                        .clone()
                        .map(|other| packed(compress, other))
                        .transpose()?;
                    let unpacking_us = match args.no_boot {
                        true => None,
                        false => Some(unpacking(&kernel, &disk, &archive)?),
                    };
                    ways.push(Way {
                        kernel: kernel.release.clone(),
                        compress: compress.settings(built.archive.len()),
                        modules: module_compress.to_string(),
                        stripped,
                        bytes: archive.len(),
                        unpacking_us,
                        busybox_bytes: other.map(|other| other.len()),
                    });
                }
            }
        }
    }
    let good = print(&ways)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&ways)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if good { Verdict::Pass } else { Verdict::Fail })
}

/// The initrd of a profile, not compressed.
fn unpacked(
    kernel: &Kernel,
    profile: &Path,
    module_compress: Compression,
    stripped: bool,
) -> Result<Built> {
    let text = fs::read_to_string(profile)?;
    let mut text: toml::Table = text.parse()?;
    let modules = text.get_mut("modules").and_then(toml::Value::as_table_mut);
    let strip = if stripped { "always" } else { "auto" };
    modules
        .context("the profile has modules")?
        .insert("strip".to_owned(), strip.into());
    let room = tempfile::tempdir()?;
    let changed = room.path().join("profile.toml");
    fs::write(&changed, text.to_string())?;
    initrd::build(&Request {
        compress: Uncompressed,
        module_compress: Some(module_compress),
        ..Request::new(&kernel.modules_dir, changed, build::init(Arch::X86_64)?)
    })
}

/// The kernel's time to unpack an initrd, in microseconds.
fn unpacking(kernel: &Kernel, disk: &Disk, initrd: &[u8]) -> Result<u64> {
    let room = paths::room()?;
    let path = room.path().join("initrd");
    fs::write(&path, initrd)?;
    let step = progress::step("booting");
    let machine = Machine {
        cpus: 1,
        counts_instructions: true,
        ..Machine::new(
            kernel.vmlinuz.clone(),
            path,
            disk.path.clone(),
            disk.words_for(&format!("PARTLABEL={}", disk::PARTLABEL)),
        )
    };
    let log = machine.run()?.log;
    step.done();
    let time = log.unpacking().with_context(|| {
        format!(
            "the kernel did not tell of its unpacking:\n{}",
            log.tail(20)
        )
    })?;
    Ok(u64::try_from(time.as_micros())?)
}

/// Shows all, and tells whether Toehold's is as small as it has to be.
fn print(ways: &[Way]) -> Result<bool> {
    let rows = ways.iter().map(|way| {
        vec![
            way.kernel.clone(),
            way.compress.clone(),
            way.modules.clone(),
            if way.stripped {
                "stripped"
            } else {
                "as packaged"
            }
            .to_owned(),
            grouped(way.bytes),
            way.unpacking_us
                .map_or(String::new(), |time| grouped(time / 1000)),
            way.busybox_bytes.map_or(String::new(), grouped),
        ]
    });
    let head = [
        "kernel",
        "initrd",
        "each module",
        "",
        "bytes",
        "unpacking, ms",
        "busybox",
    ];
    let mut text = table(Style::Markdown, &head, &rows.collect::<Vec<_>>());
    let mut good = true;
    for way in ways {
        let same = ways.iter().find(|other| {
            (&other.kernel, &other.compress) == (&way.kernel, &way.compress)
                && !other.stripped
                && way.compress != Uncompressed.settings(0)
        });
        // The initrd that it replaces has the modules as they are packaged.
        if let Some(busybox) = same.and_then(|same| same.busybox_bytes) {
            let part = way.bytes as f64 / busybox as f64;
            let allowed = ALLOWED[usize::from(way.stripped)];
            good &= part <= allowed;
            text += &format!(
                "{}{}: {:.1} % smaller than busybox's with the modules as packaged ({:.0} % wanted)\n",
                way.compress,
                if way.stripped {
                    ", modules stripped"
                } else {
                    ""
                },
                (1.0 - part) * 100.0,
                (1.0 - allowed) * 100.0
            );
        }
    }
    crate::commands::print(&text)?;
    Ok(good)
}
