//! `cargo xtask initrd`: an initrd from a modules directory and a profile.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::print;
use crate::{
    Verdict,
    arch::Arch,
    archive::{compress::Compression, list},
    initrd::{
        self, Request,
        manifest::{self, Manifest},
    },
    message,
    profile::Pack,
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
    /// Architecture of the kernel [default: this machine's; x86_64 where there is no init for that]
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// The init to put in [default: the one for this architecture]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Compression of the archive [default: zstd]
    #[arg(long, value_enum)]
    compress: Option<Compression>,
    /// Compression of each module [default: as the kernel's package has it where that kernel decompresses it, else none]
    #[arg(long, value_enum)]
    module_compress: Option<Compression>,
    /// Which modules go into the module pack, which the init unpacks as it needs them: auto for those that not every boot loads, but none
    /// where --module-compress is given [default: as the profile says: auto]
    #[arg(long, value_enum)]
    module_pack: Option<Pack>,
    /// The kernel's build configuration, which tells what it can decompress [default: as found in DIR and in boot/]
    #[arg(long, value_name = "FILE")]
    kernel_config: Option<PathBuf>,
    /// Where to look for firmware first, before lib/firmware beside lib/modules
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,
    /// Microcode to put in front: a folder intel-ucode or amd-ucode, one that holds such (lib/firmware), or an archive of them
    #[arg(long, value_name = "PATH")]
    microcode: Vec<PathBuf>,
    /// What to write: an archive, or a list of its files for gen_init_cpio and CONFIG_INITRAMFS_SOURCE, with the files in OUT.files
    #[arg(long, value_enum, default_value = "cpio")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Cpio,
    List,
}

/// Builds the initrd; `source` has what the arguments do not give.
pub fn run(args: Args, source: &dyn Source) -> Result<Verdict> {
    let profile = source.profile(&args.profile)?;
    let arch = args.arch.unwrap_or_else(Arch::host);
    let init = match args.init {
        Some(init) => init,
        None => source.init(arch)?,
    };
    ensure!(
        args.format == Format::Cpio || args.compress.is_none(),
        "--format list: the kernel's build compresses what it packs, as its configuration says; leave --compress out"
    );
    let request = Request {
        modules_dir: args.modules_dir,
        profile,
        arch,
        init,
        compress: args.compress.unwrap_or(Compression::Zstd),
        module_compress: args.module_compress,
        module_pack: args.module_pack,
        group_bytes: None,
        kernel_config: args.kernel_config,
        firmware_dir: args.firmware_dir,
        microcode: args.microcode,
        extra: Vec::new(),
    };
    let manifest = match args.format {
        Format::Cpio => {
            let built = initrd::build(&request)?;
            built.write(&args.out)?;
            built.manifest
        }
        Format::List => initrd::build_list(&request, &args.out)?,
    };
    warn(&manifest, Some(&manifest::path(&args.out)));
    let totals = &manifest.totals;
    let bytes = match args.format {
        Format::Cpio => format!("{} bytes", totals.compressed_bytes),
        Format::List => format!("files in {}", list::folder(&args.out).display()),
    };
    print(format_args!(
        "{}  {bytes}: {} modules, {} aliases, {} bytes before compression\n",
        args.out.display(),
        totals.modules,
        totals.aliases,
        totals.archive_bytes
    ))?;
    Ok(Verdict::Pass)
}

/// Says what people should know of an initrd, whose manifest lies at `path`.
pub fn warn(manifest: &Manifest, path: Option<&Path>) {
    for warning in &manifest.warnings {
        message::warning(warning);
    }
    let missing = &manifest.missing_firmware;
    if !missing.is_empty() {
        let listed = path.map_or_else(
            || missing.join(", "),
            |path| format!("{} lists them", path.display()),
        );
        let count = missing.len();
        message::warning(format_args!(
            "{count} firmware files were not found; {listed}"
        ));
    }
}
