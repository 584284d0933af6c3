//! A Debian of its own in a folder, installed by mmdebstrap, and its programs run there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};

use crate::lab::apt::sources;
use crate::lab::tools;

const SUITE: &str = "bookworm";

/// Installs what Debian calls essential and these packages, separated by commas, in the new folder `root`. Takes root, as debootstrap does.
pub fn install(packages: &str, root: &Path) -> Result<()> {
    tools::require(&[tools::MMDEBSTRAP])?;
    ensure!(
        fs::metadata("/proc/self")?.uid() == 0,
        "a Debian for tests can be installed by root only: its files have owners"
    );
    let own = sources::private(Path::new("/"), SUITE, std::env::var(sources::MIRROR).ok())?;
    let room = tempfile::tempdir()?;
    let sources = room.path().join("debian.sources");
    fs::write(&sources, own)?;
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--mode=root", "--variant=essential", "--quiet"]);
    mmdebstrap.arg(format!("--include={packages}"));
    tools::run(mmdebstrap.arg(SUITE).arg(root).arg(&sources))?;
    Ok(())
}

/// Runs a shell's script in such a Debian, with /proc as programs expect it, of which nothing is left outside.
pub fn run(root: &Path, script: &str) -> Result<Output> {
    const INSIDE: &str = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" sh -euc \"$1\"";
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "sh", "-c", INSIDE])
        .arg(root)
        .arg(script);
    shell.env_clear();
    shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    shell.env("LC_ALL", "C.UTF-8");
    tools::run(&mut shell)
}
