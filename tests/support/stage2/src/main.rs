//! Stage 2 of the tests: runs as PID 1, reports the state of the machine on the second serial line, and powers off.
//!
//! Words of the kernel command line: `stage2.read=all` reads every file below the /usr mount, `stage2.sleep=SECONDS` waits,
//! `stage2.pstore=yes` mounts pstore,
//! `stage2.profile=yes` has the builder make a profile of the machine,
//! `stage2.open=DATA,HASH,OPTION,…` has veritysetup open the device that the init opened (see [`oracle`]).
//!
//! Started in place of an initramfs's init (`rdinit=`) it asks the modprobe there for each of `stage2.ask=NAME,NAME`, and for the filesystem
//! `stage2.mount=TYPE` the kernel, which asks modprobe.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};
use toehold_stage2::{HELLO, Output, Read, Report};

mod calls;
mod machine;
mod oracle;

/// The second serial line: kernel messages, which are on the first, cannot cut into it.
const REPORT: &str = if cfg!(target_arch = "x86_64") {
    "/dev/ttyS1"
} else {
    "/dev/ttyS0"
};
const VERITYSETUP: &str = "/usr/sbin/veritysetup";
const DMSETUP: &str = "/usr/sbin/dmsetup";
const BUILDER: &str = "/usr/bin/toehold-mkinitrd";
/// Where the tests' profiles have /usr.
const USR: &str = "/sysusr/usr";

fn main() {
    // First of all: what it tells is the init's.
    let ran = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let mut asked = Vec::new();
    if !Path::new("/proc/self").exists() {
        if let Err(error) = machine::mount_kernel_filesystems() {
            panic!("cannot mount the kernel's filesystems: {error}");
        }
        asked = ask();
    }
    let _ = fs::write("/dev/kmsg", HELLO);
    machine::settle();
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let stopped = word(&cmdline, "trace_event").map(|_| calls::stop());
    if word(&cmdline, "stage2.pstore").is_some()
        && let Err(error) = machine::mount_pstore()
    {
        panic!("cannot mount pstore: {error}");
    }
    let mut report = machine::state();
    report.ran = ran
        .split(' ')
        .next()
        .and_then(|ran| ran.parse().ok())
        .unwrap_or(0);
    report.calls = stopped.map(|stopped| {
        let calls = stopped.and_then(|()| calls::recorded());
        calls.map_err(|error| error.to_string())
    });
    report.asked = asked;
    if let Some(seconds) = word(&report.cmdline, "stage2.sleep").and_then(|text| text.parse().ok())
    {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    if word(&report.cmdline, "stage2.read") == Some("all") {
        let mut read = Read::default();
        let is_root = machine::names(USR).is_empty();
        read_all(Path::new(if is_root { "/usr" } else { USR }), &mut read);
        report.read = Some(read);
    }
    report.carried = machine::carried("/usr.squashfs");
    let name = report.dm.as_ref().map_or("usr", |dm| dm.name.as_str());
    report.veritysetup = run(VERITYSETUP, &["status", name]);
    report.dmsetup_table = run(DMSETUP, &["table", name]);
    report.dmsetup_status = run(DMSETUP, &["status", name]);
    if word(&report.cmdline, "stage2.profile").is_some() {
        report.profile = Some(run(BUILDER, &["profile"]));
    }
    if let Some(devices) = word(&report.cmdline, "stage2.open") {
        report.oracle = Some(oracle::open(devices, &report.cmdline));
    }
    if let Err(error) = send(&report) {
        let _ = fs::write(
            "/dev/kmsg",
            format!("toehold-stage2: cannot report: {error}"),
        );
    }
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        let _ = fs::write(
            "/dev/kmsg",
            format!("toehold-stage2: cannot power off: {error}"),
        );
    }
}

/// Asks for modules as the kernel does.
fn ask() -> Vec<(String, Option<i32>)> {
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let names = word(&cmdline, "stage2.ask").unwrap_or_default().split(',');
    let asked = names
        .map(|name| {
            let code = run("/sbin/modprobe", &["-q", "--", name]).code;
            (name.to_owned(), code)
        })
        .collect();
    if let Some(fstype) = word(&cmdline, "stage2.mount") {
        // There is nothing to be mounted; what it is about is that the kernel looks for the filesystem's module.
        let _ = rustix::mount::mount(
            "none",
            "/tmp",
            fstype,
            rustix::mount::MountFlags::empty(),
            None,
        );
    }
    asked
}

/// The value of a word of the kernel command line.
fn word<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    cmdline
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(key, value)| (key == name).then_some(value))
        .next_back()
}

fn read_all(folder: &Path, read: &mut Read) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return read.errors.push(format!("{}: {error}", folder.display())),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => read_all(&path, read),
            Ok(kind) if kind.is_file() => match fs::read(&path) {
                Ok(bytes) => {
                    read.files += 1;
                    read.bytes += bytes.len() as u64;
                }
                Err(error) => read.errors.push(format!("{}: {error}", path.display())),
            },
            _ => {}
        }
    }
}

/// Runs a program. There is no udev here that would make device nodes for libdevmapper.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("DM_DISABLE_UDEV", "1");
    match command.output() {
        Ok(output) => Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Output {
            stderr: format!("{program}: {error}"),
            ..Output::default()
        },
    }
}

fn send(report: &Report) -> io::Result<()> {
    // Firmware may have written there before, and not to the end of a line.
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, report)?;
    line.push(b'\n');
    let mut serial = OpenOptions::new().write(true).open(REPORT)?;
    serial.write_all(&line)?;
    rustix::termios::tcdrain(&serial)?;
    Ok(())
}
