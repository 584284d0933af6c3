//! A real system to hand over to: Debian with systemd, its full initrd made by its own dracut, and a root without a /usr of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::{cache, debian, paths, tools};
use builder::progress;

/// Besides what Debian calls essential.
const PACKAGES: &str =
    "cpio,cryptsetup-bin,dbus,dmsetup,dracut,kmod,mount,systemd-sysv,udev,util-linux";

/// What of /usr only people need.
const UNNEEDED: [&str; 4] = [
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/locale",
    "usr/share/man",
];

/// Counted up when the same packages are to give another system.
const LAYOUT: &str = "2";

const REPORT: &str = include_str!("systemd/report.sh");
const NEEDS_USR: &str = include_str!("systemd/needs-usr.service");
const INITRD: &str = include_str!("systemd/initrd.service");
const ROOT: &str = include_str!("systemd/root.service");

/// The folders that a disk is made from.
pub struct System {
    /// The full initrd.
    pub stage2: PathBuf,
    pub usr: PathBuf,
    /// The rest, with an empty /usr.
    pub root: PathBuf,
}

/// What changes when the system does, as far as it is not Debian's.
pub fn fingerprint() -> String {
    let parts = [LAYOUT, PACKAGES, REPORT, NEEDS_USR, INITRD, ROOT];
    cache::key(&parts.map(str::as_bytes))
}

/// Makes the system below `target/toehold/systemd`, or finds the one made before. Takes root, as debootstrap does.
pub fn make() -> Result<System> {
    let folder = paths::output().join("systemd").join(fingerprint());
    let folder = cache::folder(&folder, |folder| {
        let step =
            progress::step("installing a Debian system with systemd, and its initrd by dracut");
        install(folder).context("cannot make a system with systemd")?;
        step.done();
        Ok(())
    })?;
    Ok(System {
        stage2: folder.join("stage2"),
        usr: folder.join("usr"),
        root: folder.join("root"),
    })
}

fn install(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    debian::bootstrap("bookworm", "essential", PACKAGES, &root)?;

    // In the initrd, where dracut takes it along.
    let more = root.join("initrd");
    units(&more, "initrd", INITRD)?;
    let mut dracut = Command::new("chroot");
    dracut.arg(&root).args([
        "dracut",
        "--quiet",
        "--no-hostonly",
        "--no-kernel",
        "--no-compress",
    ]);
    dracut.args(["--kver", "none", "--add", "systemd-veritysetup dm crypt"]);
    dracut.args([
        "--install",
        "cat rm sh systemctl true udevadm veritysetup dmsetup",
    ]);
    tools::run(dracut.args(["--include", "/initrd", "/", "/initrd.cpio"]))?;
    let stage2 = folder.join("stage2");
    let unpack = "mkdir /stage2 && cd /stage2 && cpio --quiet -id < /initrd.cpio";
    tools::run(Command::new("chroot").arg(&root).args(["sh", "-c", unpack]))?;
    fs::rename(root.join("stage2"), &stage2)?;
    fs::remove_file(root.join("initrd.cpio"))?;
    fs::remove_dir_all(more)?;

    units(&root, "multi-user", ROOT)?;
    fs::write(root.join("etc/fstab"), "LABEL=ROOT / ext4 defaults 0 1\n")?;
    // With one it is not the first boot, where systemd asks people.
    fs::write(root.join("etc/machine-id"), format!("{:032x}\n", 1))?;
    for path in UNNEEDED {
        fs::remove_dir_all(root.join(path)).or_else(missing)?;
    }
    fs::rename(root.join("usr"), folder.join("usr"))?;
    Ok(fs::create_dir(root.join("usr"))?)
}

fn missing(error: std::io::Error) -> std::io::Result<()> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

/// Puts the report, its unit, and the unit that needs the device below `root`; `target` starts the report.
fn units(root: &Path, target: &str, report: &str) -> Result<()> {
    let program = root.join("usr/lib/toehold/report");
    let units = root.join("etc/systemd/system");
    let wants = units.join(format!("{target}.target.wants"));
    fs::create_dir_all(program.parent().context("a program without a folder")?)?;
    fs::create_dir_all(&wants)?;
    fs::write(&program, REPORT)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    fs::write(units.join("needs-usr.service"), NEEDS_USR)?;
    fs::write(units.join("toehold-report.service"), report)?;
    Ok(symlink(
        "../toehold-report.service",
        wants.join("toehold-report.service"),
    )?)
}
