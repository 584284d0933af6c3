//! A Debian system in a folder: installed once, and copied for whoever installs something in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::lab::apt::sources;
use crate::lab::{cache, paths, tools};
use builder::progress;

/// The oldest suite with mkosi 25.
const SUITE: &str = "trixie";

/// What an administrator of images has: kernel-install, and mkosi with what it makes disks with.
const PACKAGES: &str = "cryptsetup-bin,debian-archive-keyring,dosfstools,e2fsprogs,erofs-utils,kmod,man-db,mkosi,mtools,\
    squashfs-tools,systemd,systemd-boot,systemd-boot-efi,systemd-repart,systemd-ukify,zstd";

/// Fetched, with all that they depend on, and not installed.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Counted up when the same packages are to give another system.
const LAYOUT: &str = "1";

/// Runs a command with a folder as its root, and not only by chroot(2): mkosi changes the root once more.
const ENTER: &str = "
root=$1; shift
mount --bind \"$root\" \"$root\"
mount --rbind /dev \"$root/dev\"
mount --rbind /sys \"$root/sys\"
mount -t proc proc \"$root/proc\"
mount -t tmpfs tmpfs \"$root/run\"
mkdir \"$root/run/before\"
cd \"$root\"
pivot_root . run/before
umount -l /run/before
rmdir /run/before
cd /
exec \"$@\"";

/// Installs a suite of Debian into the folder `root`, with these packages. Takes root, as debootstrap does.
pub fn bootstrap(suite: &str, variant: &str, packages: &str, root: &Path) -> Result<()> {
    tools::require(&[tools::MMDEBSTRAP])?;
    ensure!(
        fs::metadata("/proc/self")?.uid() == 0,
        "a Debian system can be made by root only: its files have owners"
    );
    let sources = root.with_added_extension("sources");
    fs::write(&sources, own_sources(suite)?)?;
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--mode=root", "--quiet"]);
    mmdebstrap.arg(format!("--variant={variant}"));
    mmdebstrap.arg(format!("--include={packages}"));
    tools::run(mmdebstrap.arg(suite).arg(root).arg(&sources))?;
    Ok(())
}

/// Runs a script of sh in the system at `root`.
pub fn run(root: &Path, script: &str) -> Result<()> {
    tools::run(&mut enter(root, script)?).map(drop)
}

/// Where this machine gets the packages of a suite from, as a file of apt's.
fn own_sources(suite: &str) -> Result<String> {
    sources::private(Path::new("/"), suite, std::env::var(sources::MIRROR).ok())
}

/// A copy of the system, which goes when this is dropped.
pub struct Debian(TempDir);

impl Debian {
    /// Copies the system, which is made below `target/toehold/debian` if it is not there yet.
    pub fn copy() -> Result<Self> {
        let key = cache::key(&[SUITE, PACKAGES, KERNEL, LAYOUT].map(str::as_bytes));
        let folder = paths::output().join("debian").join(key);
        let folder = cache::folder(&folder, |folder| {
            let step = progress::step("installing a Debian system to install things in");
            install(folder).context("cannot make a Debian system")?;
            step.done();
            Ok(())
        })?;
        let room = paths::room()?;
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"]);
        tools::run(copy.arg(folder.join("root")).arg(room.path()))?;
        Ok(Self(room))
    }

    /// Where its files are.
    pub fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    /// The file of apt's with this machine's sources of packages.
    pub fn sources() -> Result<String> {
        own_sources(SUITE)
    }

    /// Runs a script of sh in it; returns what that has printed.
    pub fn run(&self, script: &str) -> Result<String> {
        tools::capture(&mut enter(&self.root(), script)?)
    }
}

fn install(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    bootstrap(SUITE, "apt", PACKAGES, &root)?;
    let fetch = format!("apt-get -qq update && apt-get -qq install --download-only {KERNEL}");
    run(&root, &fetch)
}

/// What runs a script of sh within the system at `root`, with its own devices, processes and mounts, and ends when this process does.
fn enter(root: &Path, script: &str) -> Result<Command> {
    let mut enter = tools::ends_with_this_process()?;
    enter.args(["unshare", "--mount", "--pid", "--fork", "--kill-child"]);
    enter.args(["sh", "-ec", ENTER, "enter"]).arg(root);
    enter.args(["sh", "-ec", script]);
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let environment = [
        ("PATH", path),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ];
    enter.env_clear().envs(environment);
    Ok(enter)
}
