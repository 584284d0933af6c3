//! Compilers: cargo as it runs us, and for another architecture one that has its libraries, by rustup or from Debian's packages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::apt::Apt;
use crate::lab::{cache, paths, tools};
use builder::arch::Arch;
use builder::progress;

/// The suite whose compiler is new enough.
const SUITE: &str = "bookworm";
/// The compiler, and what has its own library and the standard library's.
const COMPILER: &str = "rustc-web";
const LIBRARIES: &str = "libstd-rust-web-dev";

/// A cargo command that compiles for `arch`; what follows it stands behind.
pub fn cargo(arch: Arch, subcommand: &str) -> Result<Command> {
    let mut cargo = Command::new(paths::cargo());
    cargo.current_dir(paths::root());
    cargo.arg(subcommand);
    if arch == Arch::default() {
        return Ok(cargo);
    }
    if !by_rustup(arch)? {
        let folder = from_debian(arch)?;
        cargo.env("RUSTC", folder.join("usr/bin/rustc"));
        let host = Arch::default().libraries();
        // Not those of `lib`: there is the C library, which has to fit the host's loader.
        cargo.env("LD_LIBRARY_PATH", folder.join("usr/lib").join(host));
    }
    cargo.args(["--target", arch.target()]);
    Ok(cargo)
}

/// Link arguments that make the host's C compiler call Rust's own linker, which knows every architecture.
pub fn linker(arch: Arch) -> Result<Vec<String>> {
    if arch == Arch::default() {
        return Ok(Vec::new());
    }
    let emulation = match arch {
        Arch::X86_64 => "elf_x86_64",
        Arch::Aarch64 => "aarch64linux",
    };
    let host = Arch::default().target();
    let folder = sysroot()?.join(format!("lib/rustlib/{host}/bin/gcc-ld"));
    let arguments = [
        "linker=cc".to_owned(),
        format!("link-arg=-B{}", folder.display()),
        "link-arg=-fuse-ld=lld".to_owned(),
        format!("link-arg=-Wl,-m,{emulation}"),
    ];
    Ok(arguments
        .into_iter()
        .flat_map(|argument| ["-C".to_owned(), argument])
        .collect())
}

/// The host's compiler with these arguments.
pub fn rustc(arguments: &[&str]) -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(paths::root()).args(arguments);
    rustc
}

/// Where the host's compiler has its libraries.
pub fn sysroot() -> Result<PathBuf> {
    let printed = tools::capture(&mut rustc(&["--print", "sysroot"]))?;
    Ok(printed.trim_end().into())
}

/// Whether our own compiler has the libraries; rustup is asked for them once.
fn by_rustup(arch: Arch) -> Result<bool> {
    static ASKED: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    let folder = sysroot()?
        .join("lib/rustlib")
        .join(arch.target())
        .join("lib");
    if !folder.is_dir() {
        ASKED.get_or_init(|| {
            let _lock = cache::lock(&paths::output().join("rustup.lock"));
            // Where it cannot, there is another way.
            let _ = Command::new("rustup")
                .args(["target", "add", arch.target()])
                .current_dir(paths::root())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        });
    }
    Ok(folder.is_dir())
}

/// Debian's compiler with the libraries of another architecture, unpacked below `target/toehold`.
fn from_debian(arch: Arch) -> Result<PathBuf> {
    if Arch::of(&std::fs::read("/proc/self/exe")?) != Some(Arch::default()) {
        bail!(
            "this compiler has no libraries for {arch}: `rustup target add {}` gets them",
            arch.target()
        );
    }
    let folder = paths::output().join("toolchains").join(arch.name());
    cache::folder(&folder, |folder| {
        let step = progress::step(format!("fetching Debian's Rust for {arch}"));
        fetch(arch, folder).with_context(|| {
            let target = arch.target();
            format!("no Rust compiler for {arch}: `rustup target add {target}` gets one, where rustup works")
        })?;
        step.done();
        Ok(())
    })
}

fn fetch(arch: Arch, folder: &Path) -> Result<()> {
    let own = Apt::open(SUITE, Arch::default())?;
    own.unpack_closure(&[LIBRARIES], folder)?;
    own.fresh(|| own.unpack(COMPILER, folder))?;
    let other = Apt::open(SUITE, arch)?;
    other.fresh(|| other.unpack(LIBRARIES, folder))
}
