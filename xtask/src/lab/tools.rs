//! The programs of the host: where they lie, which Debian package brings them, and how to run them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use builder::arch::Arch;

/// A program that xtask runs, or a file that such a program reads, and the Debian and Ubuntu package that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tool {
    /// A program's name, or a file's absolute path.
    pub binary: &'static str,
    pub package: &'static str,
}

const fn tool(binary: &'static str, package: &'static str) -> Tool {
    Tool { binary, package }
}

pub const QEMU: Tool = tool("qemu-system-x86_64", "qemu-system-x86");
pub const QEMU_ARM: Tool = tool("qemu-system-aarch64", "qemu-system-arm");
/// Starts a program that ends when this one does, however that ends.
pub const SETPRIV: Tool = tool("setpriv", "util-linux");
/// What links the tests' stage 2 for aarch64, and that architecture's C library.
pub const GCC_ARM: Tool = tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
pub const LIBC_ARM: Tool = tool("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross");
pub const MKFS_BTRFS: Tool = tool("mkfs.btrfs", "btrfs-progs");
pub const MKFS_EXT4: Tool = tool("mkfs.ext4", "e2fsprogs");
pub const DEBUGFS: Tool = tool("debugfs", "e2fsprogs");
pub const MKFS_EROFS: Tool = tool("mkfs.erofs", "erofs-utils");
pub const MKFS_VFAT: Tool = tool("mkfs.vfat", "dosfstools");
pub const MKFS_XFS: Tool = tool("mkfs.xfs", "xfsprogs");
pub const MKSQUASHFS: Tool = tool("mksquashfs", "squashfs-tools");
pub const VERITYSETUP: Tool = tool("veritysetup", "cryptsetup-bin");
pub const DMSETUP: Tool = tool("dmsetup", "dmsetup");
pub const MCOPY: Tool = tool("mcopy", "mtools");
pub const MMD: Tool = tool("mmd", "mtools");
pub const SGDISK: Tool = tool("sgdisk", "gdisk");
pub const SFDISK: Tool = tool("sfdisk", "fdisk");
pub const DEPMOD: Tool = tool("depmod", "kmod");
pub const MODPROBE: Tool = tool("modprobe", "kmod");
/// Gives a program a terminal.
pub const SCRIPT: Tool = tool("script", "bsdutils");
/// Reads what the builder packs.
pub const CPIO: Tool = tool("cpio", "cpio");
pub const LZOP: Tool = tool("lzop", "lzop");
pub const MAKE: Tool = tool("make", "make");
/// Compiles libFuzzer.
pub const GXX: Tool = tool("g++", "g++");
pub const GCC: Tool = tool("gcc", "gcc");
pub const DPKG_DEB: Tool = tool("dpkg-deb", "dpkg");
pub const MMDEBSTRAP: Tool = tool("mmdebstrap", "mmdebstrap");
/// Serves disks that are slow.
pub const NBDKIT: Tool = tool("nbdkit", "nbdkit");
pub const SHELLCHECK: Tool = tool("shellcheck", "shellcheck");
pub const GROFF: Tool = tool("groff", "groff-base");
pub const OPENSSL: Tool = tool("openssl", "openssl");
pub const SBSIGN: Tool = tool("sbsign", "sbsigntool");
pub const SBVERIFY: Tool = tool("sbverify", "sbsigntool");
/// UEFI firmware for QEMU, and the variables of a machine that is new.
pub const OVMF: Tool = tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf");
pub const OVMF_VARIABLES: Tool = tool("/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf");
pub const AAVMF: Tool = tool("/usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64");
pub const AAVMF_VARIABLES: Tool = tool("/usr/share/AAVMF/AAVMF_VARS.fd", "qemu-efi-aarch64");
/// The variables of one that trusts a key for tests, that key (its passphrase is `snakeoil`), and its certificate.
pub const OVMF_TRUSTING: Tool = tool("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd", "ovmf");
pub const OVMF_KEY: Tool = tool("/usr/share/ovmf/PkKek-1-snakeoil.key", "ovmf");
pub const OVMF_CERTIFICATE: Tool = tool("/usr/share/ovmf/PkKek-1-snakeoil.pem", "ovmf");

/// What a demo disk is made with, whichever filesystems it has.
pub const DISK: &[Tool] = &[
    MKFS_BTRFS,
    MKFS_EXT4,
    MKFS_EROFS,
    MKFS_VFAT,
    MKFS_XFS,
    MKSQUASHFS,
    SFDISK,
    VERITYSETUP,
    DMSETUP,
];

/// What puts a file on a disk's EFI system partition, and starts a machine from it.
pub const UEFI: &[Tool] = &[MCOPY, MMD, OVMF, OVMF_VARIABLES, AAVMF, AAVMF_VARIABLES];

/// What tests and comparisons need besides.
const OTHERS: &[Tool] = &[
    SETPRIV,
    QEMU,
    QEMU_ARM,
    GCC_ARM,
    LIBC_ARM,
    OVMF_TRUSTING,
    OVMF_KEY,
    OVMF_CERTIFICATE,
    SGDISK,
    GROFF,
    SHELLCHECK,
    OPENSSL,
    SBSIGN,
    SBVERIFY,
    DEPMOD,
    MODPROBE,
    SCRIPT,
    CPIO,
    LZOP,
    MAKE,
    GCC,
    GXX,
    DPKG_DEB,
    MMDEBSTRAP,
    NBDKIT,
];

/// What a machine of this architecture is run with, and its stage 2 is built with.
pub fn machine(arch: Arch) -> Vec<Tool> {
    match arch {
        Arch::X86_64 => vec![SETPRIV, QEMU],
        Arch::Aarch64 => vec![SETPRIV, QEMU_ARM, GCC_ARM, LIBC_ARM],
    }
}

/// Everything.
pub fn all() -> Vec<Tool> {
    [DISK, UEFI, OTHERS].concat()
}

/// Starts the program that is named next, and ends it when this process ends, however that comes.
pub fn ends_with_this_process() -> Result<Command> {
    let mut command = SETPRIV.command()?;
    command.args(["--pdeathsig", "KILL"]);
    Ok(command)
}

impl Tool {
    /// The program's path, searched in `PATH` and in the two folders for administrators that a user's `PATH` may lack; the
    /// file's, if it is there.
    pub fn find(&self) -> Option<PathBuf> {
        find(self.binary)
    }

    /// A command that runs the program.
    pub fn command(&self) -> Result<Command> {
        let path = self.find().with_context(|| {
            format!(
                "{} is not installed; Debian's package {} has it",
                self.binary, self.package
            )
        })?;
        Ok(Command::new(path))
    }
}

fn find(binary: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(binary))
        .find(|file| {
            file.metadata().is_ok_and(|found| {
                let executable = found.permissions().mode() & 0o111 != 0;
                found.is_file() && (executable || binary.starts_with('/'))
            })
        })
}

/// Makes sure that all of `tools` are there, installing the packages of those that are not.
///
/// The exact command is printed first. It runs as root, or through a `sudo` that asks for no password; where neither is
/// possible the error names the command.
pub fn require(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| tool.find().is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let binaries: Vec<&str> = missing.iter().map(|tool| tool.binary).collect();
    let packages: BTreeSet<&str> = missing.iter().map(|tool| tool.package).collect();
    let mut words = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    words.extend(&packages);
    let advice = format!(
        "these are missing: {}; as root, install them with\n    {}",
        binaries.join(", "),
        words.join(" ")
    );
    if find("apt-get").is_none() {
        bail!("{advice}\nor with this system's own package manager: there is no apt-get here");
    }
    let prefix = privilege().map_err(|reason| anyhow!("{reason}, and {advice}"))?;
    if !packages.iter().all(|package| known(package)) {
        administer(prefix, &["apt-get", "update"]).with_context(|| advice.clone())?;
    }
    administer(prefix, &words).with_context(|| advice.clone())?;
    match missing.iter().find(|tool| tool.find().is_none()) {
        Some(tool) => bail!(
            "package {} was installed and brought no {}",
            tool.package,
            tool.binary
        ),
        None => Ok(()),
    }
}

/// What to put before a command that root has to run.
fn privilege() -> Result<&'static [&'static str]> {
    if Path::new("/proc/self")
        .metadata()
        .is_ok_and(|process| process.uid() == 0)
    {
        return Ok(&["env", "DEBIAN_FRONTEND=noninteractive"]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .output();
    if sudo.is_ok_and(|output| output.status.success()) {
        return Ok(&["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]);
    }
    bail!("this is not root, and sudo asks for a password")
}

/// Whether apt has a candidate for this package in the lists that it has now.
fn known(package: &str) -> bool {
    let mut show = Command::new("apt-cache");
    run(show.args(["show", "--no-all-versions", package])).is_ok()
}

fn administer(prefix: &[&str], words: &[&str]) -> Result<()> {
    let words: Vec<&str> = prefix.iter().chain(words).copied().collect();
    let (program, arguments) = words.split_first().context("an empty command")?;
    eprintln!("$ {}", words.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("`{}` failed: {status}", words.join(" "));
    }
    Ok(())
}

/// Runs a command to its end; the error has the command line and what it said.
pub fn run(command: &mut Command) -> Result<Output> {
    run_with(command, Stdio::null())
}

/// Runs a command to its end with this text as its standard input.
pub fn feed(command: &mut Command, text: &str) -> Result<()> {
    let mut input = tempfile::tempfile()?;
    input.write_all(text.as_bytes())?;
    input.rewind()?;
    run_with(command, input.into()).map(drop)
}

fn run_with(command: &mut Command, input: Stdio) -> Result<Output> {
    let line = describe(command);
    let output = command
        .stdin(input)
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let said = [&output.stdout, &output.stderr]
            .map(|stream| String::from_utf8_lossy(stream).trim().to_owned())
            .join("\n");
        bail!("`{line}` failed: {}\n{}", output.status, said.trim());
    }
    Ok(output)
}

/// Runs a command to its end and returns its standard output.
pub fn capture(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(command)?.stdout).into_owned())
}

fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
