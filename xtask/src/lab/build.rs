//! Builds the init, at `target/toehold/<arch>/init`.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::lab::{
    cache::{self, Once},
    elf, paths, spent, toolchain,
};
use builder::arch::Arch;

/// What makes the code smaller, and is no link argument. A plain cargo build works without.
///
/// Refused: `-attributor-enable=module`, which removes code that runs; on x86_64 `-enable-machine-outliner`, with which less of the code
/// repeats itself and zstd finds 300 bytes less, and `-regalloc=basic`, which takes more bytes before zstd than it saves after.
fn code_generation(arch: Arch) -> Vec<&'static str> {
    let mut flags = vec![
        // Addresses as constants instead of relative to the instruction: 390 bytes.
        "relocation-model=static",
        // Constants are made where they are used instead of being kept in registers that must be saved first: 270 bytes, 200 as zstd.
        "llvm-args=-disable-machine-licm",
        // Loops are formed for few registers instead of few instructions: 40 bytes.
        "llvm-args=-lsr-insns-cost=false",
        // Fewer moves between registers: 20 bytes, 30 as zstd.
        "llvm-args=-join-splitedges",
    ];
    flags.extend(match arch {
        Arch::X86_64 => &[
            // Comparisons instead of tables of addresses to jump to: 30 bytes, 20 as zstd.
            "llvm-args=-min-jump-table-entries=9",
            // Less code twice, and registers kept with their size in mind: 60 bytes, 20 as zstd.
            "llvm-args=-disable-early-taildup",
            "llvm-args=-phi-node-folding-threshold=1",
            "llvm-args=-split-spill-mode=size",
        ][..],
        Arch::Aarch64 => &[
            // Addresses in one instruction instead of two: 960 bytes, 300 as zstd.
            "code-model=tiny",
            // Registers are saved and restored in one order, and by shared functions where so many instructions are saved: 1,400 bytes, 400
            // as zstd.
            "llvm-args=-homogeneous-prolog-epilog",
            "llvm-args=-frame-helper-size-threshold=3",
            // Instructions stay as they come, and look more alike: 280 bytes and 160 bytes as zstd.
            "llvm-args=-disable-post-ra",
            "llvm-args=-enable-misched=false",
            // As on x86_64: 820 bytes more, 220 less as zstd.
            "llvm-args=-enable-machine-outliner=never",
        ],
    });
    flags
}

/// Builds and strips the init of `arch`; returns its path. Beside it lies `init.debug`, the same with symbols.
pub fn init(arch: Arch) -> Result<PathBuf> {
    static BUILT: Once<Arch, PathBuf> = Once::new();
    BUILT.get(arch, || {
        let path = paths::init(arch);
        let debug = path.with_extension("debug");
        cache::files(&[&path, &debug], &key(arch)?, || link(arch, &path, &debug))?;
        Ok(path)
    })
}

/// Changes whenever something does that an init is made from.
fn key(arch: Arch) -> Result<String> {
    let flags = code_generation(arch).join(" ");
    let linker = toolchain::linker(arch)?.join(" ");
    let surroundings = [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC",
        "RUSTUP_TOOLCHAIN",
    ]
    .map(|name| std::env::var(name).unwrap_or_default())
    .join(" ");
    cache::key_of_sources(
        &[
            "src",
            "linker",
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
            ".cargo",
        ],
        &[arch.name(), &flags, &linker, &surroundings],
    )
}

/// Builds the init at `path`, and its twin with symbols at `debug`.
fn link(arch: Arch, path: &Path, debug: &Path) -> Result<()> {
    let _span = spent::on("inits");
    let target = paths::root().join("target/inits");
    // All are linked in one place, where what they are made of is compiled once: one at a time, until the result is elsewhere.
    let _lock = cache::lock(&paths::output().join("init.lock"))?;
    let status = toolchain::cargo(arch, "rustc")?
        .args([
            "--quiet",
            "--package",
            "toehold",
            "--bin",
            "init",
            "--profile",
            "init",
        ])
        .args(["--features", "freestanding"])
        .arg("--target-dir")
        .arg(&target)
        .arg("--")
        .args(
            code_generation(arch)
                .into_iter()
                .flat_map(|flag| ["-C", flag]),
        )
        .args(toolchain::linker(arch)?)
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo could not build the init ({status}); its messages stand above"
    );
    let target = match arch {
        Arch::X86_64 => target,
        other => target.join(other.target()),
    };
    let linked = target.join("init/init");
    let code = fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let stripped = elf::strip(&code)
        .with_context(|| format!("{}: not an init that can ship", linked.display()))?;

    fs::create_dir_all(path.parent().context("the init has no directory")?)?;
    replace(debug, &code)?;
    replace(path, &stripped)
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
