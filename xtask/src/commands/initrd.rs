//! `cargo xtask initrd`: an initrd from a modules directory and a profile.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    Verdict,
    arch::Arch,
    initrd::{self, Request, compress::Compression},
    shipped::Source,
};

#[derive(clap::Args)]
pub struct Args {
    /// The kernel's modules: …/lib/modules/<release>; no modules.dep is needed
    #[arg(long, value_name = "DIR")]
    modules_dir: PathBuf,
    /// What to put in: a profile's file, or the name of a ready profile, as `flatcar`
    #[arg(long, value_name = "PROFILE")]
    profile: PathBuf,
    /// The initrd to write; OUT.json gets the manifest
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
    /// Architecture of the kernel
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// The init to put in [default: one for this architecture with the features that the profile needs]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Compression of the archive
    #[arg(long, value_enum, default_value = "zstd")]
    compress: Compression,
    /// Compression of each module [default: as the kernel's package has it where that kernel decompresses it, else none]
    #[arg(long, value_enum)]
    module_compress: Option<Compression>,
    /// The kernel's build configuration, which tells what it can decompress [default: as found in DIR and in boot/]
    #[arg(long, value_name = "FILE")]
    kernel_config: Option<PathBuf>,
    /// Where to look for firmware first, before lib/firmware beside lib/modules
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,
}

/// Builds the initrd; `source` has what the arguments do not give.
pub fn run(args: Args, source: &Source) -> Result<Verdict> {
    let profile = source.profile(&args.profile)?;
    let init = match args.init {
        Some(init) => init,
        None => source.init(args.arch, &profile)?,
    };
    let built = initrd::build(&Request {
        modules_dir: args.modules_dir,
        profile,
        arch: args.arch,
        init,
        compress: args.compress,
        module_compress: args.module_compress,
        kernel_config: args.kernel_config,
        firmware_dir: args.firmware_dir,
        extra: Vec::new(),
    })?;
    built.write(&args.out)?;

    let manifest = &built.manifest;
    for warning in &manifest.warnings {
        eprintln!("warning: {warning}");
    }
    if !manifest.missing_firmware.is_empty() {
        eprintln!(
            "warning: {} firmware files were not found; {} lists them",
            manifest.missing_firmware.len(),
            initrd::manifest_path(&args.out).display()
        );
    }
    let totals = &manifest.totals;
    println!(
        "{}  {} bytes: {} modules, {} aliases, {} bytes before compression",
        args.out.display(),
        totals.compressed_bytes,
        totals.modules,
        totals.aliases,
        totals.archive_bytes
    );
    Ok(Verdict::Pass)
}
