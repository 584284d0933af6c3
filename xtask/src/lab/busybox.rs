//! The initrd that the bench compares with: busybox, kmod and veritysetup from Debian's packages, and a shell script.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::apt::Apt;
use crate::lab::disk::Disk;
use crate::lab::guest;
use crate::lab::kernels::Kernel;
use crate::lab::{cache, paths, tools};
use builder::arch::Arch;
use builder::archive::compress::Compression;
use builder::archive::cpio::{self, Entry};
use builder::initrd::Built;
use builder::initrd::manifest::Kind;
use builder::look::contents;
use builder::progress;

const SCRIPT: &str = include_str!("busybox/init.sh");
const SUITE: &str = "bookworm";
const PACKAGES: &[&str] = &["busybox", "kmod", "cryptsetup-bin"];
/// Path in the initrd, and in the packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("bin/busybox", "bin/busybox"),
    ("bin/kmod", "bin/kmod"),
    ("sbin/veritysetup", "sbin/veritysetup"),
];
/// What the script runs from busybox.
const APPLETS: &[&str] = &[
    "cat",
    "grep",
    "mkdir",
    "mount",
    "reboot",
    "sh",
    "sleep",
    "sort",
    "switch_root",
    "xargs",
];
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const DIRECTORIES: &[&str] = &[
    "bin",
    "dev",
    "lib",
    LIBRARIES,
    "lib/modules",
    "lib64",
    "proc",
    "run",
    "sbin",
    "stage2",
    "stage2/image",
    "stage2/root",
    "stage2/rw",
    "sys",
    "sysusr",
    "sysusr/usr",
];

/// Builds the initrd with the same modules as Toehold's, byte for byte, for this disk.
///
/// `image_path` is where the stage-2 image lies in /usr. The result is not compressed.
pub fn build(kernel: &Kernel, toehold: &Built, disk: &Disk, image_path: &str) -> Result<Vec<u8>> {
    let verity = disk
        .verity
        .as_ref()
        .context("the comparison needs a disk with verity")?;
    let packages = packages()?;
    let mut entries: Vec<Entry> = DIRECTORIES
        .iter()
        .map(|path| Entry::directory(path))
        .collect();
    entries.push(Entry::character_device("dev/console", 0o600, (5, 1)));
    entries.push(Entry::character_device("dev/null", 0o666, (1, 3)));

    let settings = format!(
        "HASH_OFFSET={}\nFSTYPE={}\nIMAGE={image_path}\n",
        verity.hash_offset, disk.filesystem
    );
    let (shebang, script) = SCRIPT
        .split_once('\n')
        .context("the script has no first line")?;
    let script = format!("{shebang}\n{settings}{script}");
    entries.push(Entry::file("init", 0o755, script.into_bytes()));

    for applet in APPLETS {
        entries.push(Entry::symlink(&format!("bin/{applet}"), "busybox"));
    }
    entries.push(Entry::symlink("sbin/modprobe", "../bin/kmod"));
    let mut libraries = BTreeSet::new();
    for (path, source) in PROGRAMS {
        let program = packages.join(source);
        entries.push(Entry::file(path, 0o755, read(&program)?));
        libraries.extend(closure(&packages, &program)?);
    }
    for library in libraries {
        let name = library
            .file_name()
            .context("a library without a name")?
            .to_string_lossy();
        let path = format!("{LIBRARIES}/{name}");
        entries.push(Entry::file(&path, 0o755, read(&library)?));
    }
    entries.push(Entry::file(LOADER, 0o755, read(&loader(&packages))?));
    entries.extend(modules(kernel, toehold)?);
    cpio::pack(&entries)
}

/// The packages with all that they depend on, unpacked.
fn packages() -> Result<PathBuf> {
    let key = cache::key(
        &PACKAGES
            .iter()
            .map(|name| name.as_bytes())
            .collect::<Vec<_>>(),
    );
    let folder = paths::output()
        .join("busybox")
        .join(format!("{SUITE}-{key}"));
    cache::folder(&folder, |folder| {
        let step = progress::step(format!("fetching {}", PACKAGES.join(", ")));
        Apt::open(SUITE, Arch::X86_64)?.unpack_closure(PACKAGES, folder)?;
        step.done();
        Ok(())
    })
}

fn loader(packages: &Path) -> PathBuf {
    packages.join(LIBRARIES).join("ld-linux-x86-64.so.2")
}

/// The libraries of a program, found among the packages by their own loader, whatever the host has.
fn closure(packages: &Path, program: &Path) -> Result<Vec<PathBuf>> {
    let folders = [
        packages.join(LIBRARIES),
        packages.join("usr").join(LIBRARIES),
    ];
    let search = std::env::join_paths(folders)?;
    let mut list = Command::new(loader(packages));
    let listing = tools::capture(
        list.arg("--library-path")
            .arg(search)
            .arg("--list")
            .arg(program),
    )?;
    let found = guest::libraries(&listing).into_iter();
    Ok(found
        .filter(|path| path.starts_with(packages) && !path.ends_with(LOADER))
        .collect())
}

/// The modules of Toehold's initrd where the kernel's package has them, with the indexes that modprobe reads.
fn modules(kernel: &Kernel, toehold: &Built) -> Result<Vec<Entry>> {
    let room = tempfile::tempdir()?;
    let inside = PathBuf::from("lib/modules").join(&kernel.release);
    let folder = room.path().join(&inside);
    let archives = contents::archives(&toehold.archive)?;
    let mut files = Vec::new();
    for item in toehold
        .manifest
        .entries
        .iter()
        .filter(|item| item.kind == Kind::Module)
    {
        let source = item.source.as_deref().context("a module from nowhere")?;
        let mut members = archives.iter().flatten();
        let member = members.find(|member| member.entry.path == item.path);
        let member = member.with_context(|| format!("{} is not in the initrd", item.path))?;
        // The builder may have packed it in another way than the kernel's package.
        let [there, here] = [source, item.path.as_str()]
            .map(|path| Compression::of_module(path.as_ref()).module_suffix());
        let name = source.strip_suffix(there).unwrap_or(source);
        files.push((format!("{name}{here}"), member.entry.data.clone()));
    }
    for list in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        files.push((list.to_owned(), read(&kernel.modules_dir.join(list))?));
    }
    for (path, data) in files {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().context("a module without a folder")?)?;
        fs::write(&to, data).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let mut depmod = tools::DEPMOD.command()?;
    tools::run(depmod.arg("-b").arg(room.path()).arg(&kernel.release))?;

    let mut entries = Vec::new();
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry?;
        let path = inside.join(entry.path().strip_prefix(&folder)?);
        let path = path.to_string_lossy();
        let path = path.trim_end_matches('/');
        entries.push(if entry.file_type().is_dir() {
            Entry::directory(path)
        } else {
            Entry::file(path, 0o644, read(entry.path())?)
        });
    }
    Ok(entries)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
