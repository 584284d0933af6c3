//! `cargo xtask uki`: kernel, command line and initrd as the one file that goes to the EFI system partition.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::Verdict;
use crate::lab::build;
use crate::lab::checkout::Checkout;
use crate::lab::kernels::{self, Series};
use crate::lab::tools;
use crate::lab::uki::{self, Request};
use builder::arch::Arch;
use builder::initrd;
use builder::progress;
use builder::shipped::Source;

#[derive(clap::Args)]
pub struct Args {
    /// Kernel from Debian's packages
    #[arg(
        long,
        value_enum,
        value_name = "SERIES",
        required_unless_present = "vmlinuz"
    )]
    kernel: Option<Series>,
    /// Any other kernel
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    vmlinuz: Option<PathBuf>,
    /// The initrd
    #[arg(long, value_name = "FILE", required_unless_present = "profile")]
    initrd: Option<PathBuf>,
    /// Instead of an initrd: the profile to build one from, as `cargo xtask initrd` does, by its file or a ready one's name
    #[arg(long, value_name = "PROFILE", conflicts_with = "initrd")]
    profile: Option<PathBuf>,
    /// For --profile, with --vmlinuz: that kernel's modules, …/lib/modules/<release>
    #[arg(
        long,
        value_name = "DIR",
        requires = "profile",
        conflicts_with = "kernel"
    )]
    modules_dir: Option<PathBuf>,
    /// The kernel command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmdline: String,
    /// os-release(5) of the system, by which boot loaders name the image; systemd-boot does not list one without
    #[arg(long, value_name = "FILE")]
    os_release: Option<PathBuf>,
    /// The kernel's release [default: as its image says]
    #[arg(long, value_name = "RELEASE")]
    uname: Option<String>,
    /// Architecture of the kernel
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// systemd-stub [default: that of Debian's package systemd-boot-efi]
    #[arg(long, value_name = "FILE")]
    stub: Option<PathBuf>,
    /// Private key (PEM, without a passphrase) to sign with for Secure Boot
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Its certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The image to write
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<Verdict> {
    let (vmlinuz, modules_dir) = match (args.kernel, args.vmlinuz) {
        (Some(series), _) => {
            let kernel = kernels::fetch(series.on(args.arch)?)?;
            (kernel.vmlinuz, Some(kernel.modules_dir))
        }
        (None, Some(vmlinuz)) => (vmlinuz, args.modules_dir),
        (None, None) => bail!("no kernel: --kernel or --vmlinuz names one"),
    };
    let room = tempfile::tempdir()?;
    let initrd = match (args.initrd, args.profile) {
        (Some(initrd), _) => initrd,
        (None, Some(profile)) => {
            let modules_dir =
                modules_dir.context("--profile needs the kernel's modules: --modules-dir")?;
            let step = progress::step("building the init and the initrd");
            let init = build::init(args.arch)?;
            let profile = Checkout.profile(&profile)?;
            let built = initrd::build(&initrd::Request {
                arch: args.arch,
                ..initrd::Request::new(&modules_dir, profile, init)
            })?;
            let path = room.path().join("initrd");
            built.write(&path)?;
            step.done();
            super::initrd::warn(&built.manifest, None);
            path
        }
        (None, None) => bail!("no initrd: --initrd names one, --profile builds one"),
    };
    let stub = match args.stub {
        Some(stub) => stub,
        None => uki::stub(args.arch)?,
    };
    let built = uki::build(&Request {
        stub,
        vmlinuz,
        initrd,
        cmdline: args.cmdline,
        os_release: args.os_release,
        uname: args.uname,
    })?;
    let image = match (args.key, args.certificate) {
        (Some(key), Some(certificate)) => {
            tools::require(&[tools::SBSIGN])?;
            uki::sign(&built.image, &key, &certificate)?
        }
        _ => built.image,
    };
    fs::write(&args.out, &image).with_context(|| format!("cannot write {}", args.out.display()))?;
    let mut text = format!("{}  {} bytes\n", args.out.display(), image.len());
    let sections: usize = built.sections.iter().map(|(_, bytes)| bytes).sum();
    let rest = ("the rest", image.len() - sections);
    for (name, bytes) in built.sections.iter().chain([&rest]) {
        text += &format!("{name:<8}  {bytes:>12}\n");
    }
    super::print(&text)?;
    Ok(Verdict::Pass)
}
