//! `cargo xtask build`: the init, at `target/toehold/<arch>/init`.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{Verdict, elf, initrd::profile::Profile, paths};

#[derive(clap::Args)]
pub struct Args {
    /// Architecture to build for
    #[arg(long, default_value = "x86_64")]
    arch: String,
    /// Cargo features of the package `toehold` to switch on
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
}

/// Cargo features that an init can have: what they are stands in Cargo.toml, what they weigh `cargo xtask size` tells.
pub const FEATURES: [&str; 3] = ["console", "full", "trace"];

pub fn run(args: Args) -> Result<Verdict> {
    let features: Vec<&str> = args.features.iter().map(String::as_str).collect();
    let path = init(&args.arch, &features)?;
    println!("{}  {} bytes", path.display(), fs::metadata(&path)?.len());
    Ok(Verdict::Pass)
}

/// What makes the code smaller, and is no link argument. A plain cargo build works without.
///
/// Refused: `-attributor-enable=module`, which removes code that runs; `-enable-machine-outliner`, with which less of the code
/// repeats itself and zstd finds 300 bytes less; `-regalloc=basic`, which takes more bytes before zstd than it saves after.
const CODE_GENERATION: [&str; 10] = [
    // Addresses as constants instead of relative to the instruction: 390 bytes.
    "-C",
    "relocation-model=static",
    // Constants are made where they are used instead of being kept in registers that must be saved first: 270 bytes, 200 as zstd.
    "-C",
    "llvm-args=-disable-machine-licm",
    // Loops are formed for few registers instead of few instructions: 40 bytes.
    "-C",
    "llvm-args=-lsr-insns-cost=false",
    // Fewer moves between registers: 20 bytes, 30 as zstd.
    "-C",
    "llvm-args=-join-splitedges",
    // Comparisons instead of tables of addresses to jump to: 30 bytes, 20 as zstd.
    "-C",
    "llvm-args=-min-jump-table-entries=9",
];

/// Builds the init that the profile in this file needs.
pub fn init_for(arch: &str, profile: &Path) -> Result<PathBuf> {
    init(arch, &Profile::read(profile)?.features())
}

/// Builds and strips the init of `arch` with these features; returns its path. Beside it lies `init.debug`, the same with symbols.
pub fn init(arch: &str, features: &[&str]) -> Result<PathBuf> {
    if arch != "x86_64" {
        bail!("architecture {arch}: not supported, only x86_64 is");
    }
    // Each has its own: those of two tests that run side by side do not get into each other's way.
    let target = paths::root().join("target").join(features.join("-"));
    let status = Command::new(env!("CARGO"))
        .current_dir(paths::root())
        .args([
            "rustc",
            "--quiet",
            "--package",
            "toehold",
            "--bin",
            "init",
            "--profile",
            "init",
        ])
        .arg("--features")
        .arg([&["freestanding"], features].concat().join(","))
        .arg("--no-default-features")
        .arg("--target-dir")
        .arg(&target)
        .arg("--")
        .args(CODE_GENERATION)
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo could not build the init ({status}); its messages stand above"
    );
    let linked = target.join("init/init");
    let code = fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let stripped = elf::strip(&code)
        .with_context(|| format!("{}: not an init that can ship", linked.display()))?;

    let path = paths::init(arch, features);
    let debug = path.with_extension("debug");
    fs::create_dir_all(path.parent().context("the init has no directory")?)?;
    replace(&debug, &code)?;
    replace(&path, &stripped)?;
    Ok(path)
}

/// Writes an executable so that whoever reads it meanwhile sees the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let directory = path.parent().context("it has no directory")?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o755))?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
