//! What runs in the guest after Toehold: the stage-2 program, and the host's veritysetup and dmsetup with their libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use object::read::elf::ProgramHeader;

use crate::lab::apt::Apt;
use crate::lab::cache::Once;
use crate::lab::{cache, paths, spent, toolchain, tools};
use builder::arch::Arch;
use builder::progress;

/// The files of the stage-2 image.
#[derive(Clone)]
pub struct Stage2 {
    /// Changes whenever one of the files does.
    pub fingerprint: String,
    /// Path in the image (without the first `/`) and on the host.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Stage2 {
    /// Builds the stage-2 program and finds the rest on the host, or, for another architecture, in Debian's packages.
    pub fn find(arch: Arch) -> Result<Self> {
        static FOUND: Once<Arch, Stage2> = Once::new();
        FOUND.get(arch, || Self::gather(arch))
    }

    fn gather(arch: Arch) -> Result<Self> {
        let mut files = vec![("init".into(), program(arch, "toehold-stage2")?)];
        let mut libraries = BTreeSet::new();
        let root = match arch {
            Arch::X86_64 => PathBuf::from("/"),
            other => foreign(other)?,
        };
        for tool in [tools::VERITYSETUP, tools::DMSETUP] {
            let path = match arch {
                Arch::X86_64 => tool.find(),
                _ => ["usr/sbin", "sbin"]
                    .map(|folder| root.join(folder).join(tool.binary))
                    .into_iter()
                    .find(|path| path.exists()),
            };
            let path = path.with_context(|| format!("{} is missing", tool.binary))?;
            match arch {
                Arch::X86_64 => libraries.extend(closure(&path)?),
                _ => needed(&root, arch, &path, &mut libraries)?,
            }
            files.push((Path::new("usr/sbin").join(tool.binary), path));
        }
        files.extend(libraries.into_iter().map(|path| {
            let inside = path.strip_prefix(&root).unwrap_or(&path).to_owned();
            (inside, path)
        }));
        let mut fingerprint = String::new();
        for (inside, path) in &files {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            fingerprint += &cache::key(&[inside.as_os_str().as_encoded_bytes(), &bytes]);
        }
        Ok(Self { fingerprint, files })
    }

    /// Lays the image's tree out in the new folder `root`.
    pub fn lay_out(&self, root: &Path) -> Result<()> {
        for folder in [
            "dev",
            "lib64",
            "proc",
            "sys",
            "run",
            "sbin",
            "sysusr/usr",
            "tmp",
        ] {
            fs::create_dir_all(root.join(folder))?;
        }
        for (inside, path) in &self.files {
            let to = root.join(inside);
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            fs::copy(path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        Ok(())
    }
}

/// Builds a program of the workspace for the guest, linked statically: what the bench measures up to is stage 2's first
/// line, not the loading of libraries.
pub fn program(arch: Arch, package: &str) -> Result<PathBuf> {
    let target = paths::root().join("target");
    let triple = arch.target();
    let path = target.join(triple).join("release").join(package);
    let key = cache::key_of_sources(
        &[
            "src",
            "tests/support",
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
        ],
        &[arch.name(), package],
    )?;
    cache::files(&[&path], &key, || compile(arch, package, &target))?;
    Ok(path)
}

fn compile(arch: Arch, package: &str, target: &Path) -> Result<()> {
    let _span = spent::on("guests");
    let triple = arch.target();
    let mut cargo = toolchain::cargo(arch, "build")?;
    if arch == Arch::default() {
        cargo.args(["--target", triple]);
    }
    let status = cargo
        .args(["--quiet", "--release", "--package", package])
        .args(["--config", "profile.release.strip=true"])
        .arg("--target-dir")
        .arg(target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            tools::GCC_ARM.binary,
        )
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {package}; its messages stand above"
    );
    Ok(())
}

/// The tools of another architecture with their libraries, unpacked below `target/toehold`.
fn foreign(arch: Arch) -> Result<PathBuf> {
    let folder = paths::output().join("guests").join(arch.name());
    cache::folder(&folder, |folder| {
        let step = progress::step(format!("fetching veritysetup and dmsetup for {arch}"));
        let packages = [tools::VERITYSETUP.package, tools::DMSETUP.package];
        Apt::open("bookworm", arch)?.unpack_closure(&packages, folder)?;
        step.done();
        Ok(())
    })
}

/// Adds the libraries and the loader that a program below `root` needs, which nothing on this host can run.
fn needed(root: &Path, arch: Arch, program: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let file = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(&*file)?;
    let mut names = Vec::new();
    let (endian, data) = (file.endian(), file.data());
    let table = file.elf_section_table().dynamic_table(endian, data)?;
    for entry in table
        .iter()
        .filter(|entry| entry.tag == object::elf::DT_NEEDED)
    {
        names.push(table.string(entry)?);
    }
    for segment in file.elf_program_headers() {
        names.extend(segment.interpreter(endian, data)?);
    }
    for name in names {
        let name = String::from_utf8_lossy(name);
        let own =
            ["lib", "usr/lib"].map(|folder| root.join(folder).join(arch.libraries()).join(&*name));
        let loader = root.join(name.trim_start_matches('/'));
        let path = own.into_iter().chain([loader]).find(|path| path.exists());
        let path = path.with_context(|| format!("{}: no {name} for it", program.display()))?;
        if found.insert(path.clone()) {
            needed(root, arch, &path, found)?;
        }
    }
    Ok(())
}

/// The shared libraries that a program of the host loads, and its loader.
fn closure(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let listing = tools::capture(Command::new("ldd").arg(program))?;
    Ok(libraries(&listing))
}

/// The paths in what `ldd` prints: `name => /path (address)`, and `/path (address)` for the loader.
pub fn libraries(listing: &str) -> BTreeSet<PathBuf> {
    listing
        .lines()
        .filter_map(|line| {
            let path = line.split_once("=>").map_or(line, |(_, path)| path);
            let path = path.split_whitespace().next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        let found = libraries(listing);
        let expected = ["/lib/x/libc.so.6", "/lib64/ld.so.2"].map(PathBuf::from);
        assert_eq!(found, expected.into());
    }
}
