//! The state of the machine, read from /proc, /sys and /run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::WaitOptions;
use toehold_stage2::{Dm, Loop, Process, Report, mount};

/// Gathers everything but what other programs have to say.
pub fn state() -> Report {
    Report {
        memory: memory(),
        pid: std::process::id(),
        argv: std::env::args_os().map(text).collect(),
        environment: std::env::vars_os()
            .map(|(name, value)| format!("{}={}", text(name), text(value)))
            .collect(),
        cmdline: file("/proc/cmdline"),
        release: file("/proc/sys/kernel/osrelease"),
        mounts: file("/proc/self/mountinfo")
            .lines()
            .filter_map(mount)
            .collect(),
        modules: file("/proc/modules")
            .lines()
            .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
            .collect(),
        files: files(),
        root: names("/"),
        mapper: names("/dev/mapper"),
        dm: Path::new("/sys/block/dm-0").exists().then(|| Dm {
            name: file("/sys/block/dm-0/dm/name"),
            uuid: file("/sys/block/dm-0/dm/uuid"),
        }),
        loops: loops(),
        block_devices: names("/sys/class/block"),
        root_is_writable: File::create("/stage2.was.here").is_ok(),
        processes: processes(),
        messages: messages(),
        ..Report::default()
    }
}

fn text(raw: OsString) -> String {
    raw.to_string_lossy().into_owned()
}

/// A file's text without the newline at its end; empty if it cannot be read.
pub fn file(path: impl AsRef<Path>) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .trim_end_matches('\n')
        .to_owned()
}

/// Sorted names in a folder; empty if it cannot be read.
pub fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| text(entry.file_name()))
        .collect();
    names.sort();
    names
}

fn memory() -> BTreeMap<String, u64> {
    file("/proc/meminfo")
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let number = value.split_whitespace().next()?.parse().ok()?;
            Some((name.to_owned(), number))
        })
        .chain([("PerCpuLists".to_owned(), per_cpu_lists())])
        .collect()
}

/// Free pages that each processor keeps at hand, in KiB: /proc/meminfo does not count them as free.
fn per_cpu_lists() -> u64 {
    let pages: u64 = file("/proc/zoneinfo")
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("count:")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .sum();
    pages * 4
}

/// Shows what pstore kept of earlier boots, in /sys/fs/pstore.
pub fn mount_pstore() -> io::Result<()> {
    let flags = rustix::mount::MountFlags::empty();
    Ok(rustix::mount::mount(
        "pstore",
        "/sys/fs/pstore",
        "pstore",
        flags,
        None,
    )?)
}

fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = [
        "/oem",
        "/run/toehold",
        "/run/udev/rules.d",
        "/sys/fs/pstore",
    ]
    .map(str::to_owned)
    .to_vec();
    while let Some(folder) = folders.pop() {
        for name in names(&folder) {
            let path = format!("{folder}/{name}");
            if Path::new(&path).is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                found.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    found
}

/// The length of an image that was taken over, if its beginning is what is on the first loop device.
pub fn carried(path: &str) -> Option<u64> {
    let mut image = File::open(path).ok()?;
    let mut device = File::open("/dev/loop0").ok()?;
    let (mut own, mut other) = (vec![0; 16 << 20], vec![0; 16 << 20]);
    let read = image.read(&mut own).ok()?;
    device.read_exact(other.get_mut(..read)?).ok()?;
    (own.get(..read) == other.get(..read)).then(|| image.metadata().map_or(0, |found| found.len()))
}

fn loops() -> Vec<Loop> {
    names("/sys/block")
        .into_iter()
        .filter(|name| Path::new(&format!("/sys/block/{name}/loop/backing_file")).exists())
        .map(|name| Loop {
            backing_file: file(format!("/sys/block/{name}/loop/backing_file")),
            read_only: file(format!("/sys/block/{name}/ro")) == "1",
            autoclear: file(format!("/sys/block/{name}/loop/autoclear")) == "1",
            name,
        })
        .collect()
}

/// What every other init would have done.
pub fn mount_kernel_filesystems() -> rustix::io::Result<()> {
    use rustix::mount::{MountFlags, mount};
    for (fstype, point) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(fstype, point, fstype, MountFlags::empty(), None)?;
    }
    Ok(())
}

/// Waits for the processes that the init left to finish its work: one that empties the initramfs, and those that load
/// modules. They are children of this one, as of any other that goes on as PID 1. Those that sleep uninterruptibly and do not
/// move are not waited for.
pub fn settle() {
    const LIMIT: Duration = Duration::from_secs(60);
    const STILL: Duration = Duration::from_secs(3);
    let began = Instant::now();
    let (mut left, mut since) = (processes(), began);
    while !left.is_empty() && began.elapsed() < LIMIT {
        if left.iter().all(|process| process.state == "D") && since.elapsed() > STILL {
            return;
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        sleep(Duration::from_millis(20));
        let now = processes();
        if now != left {
            (left, since) = (now, Instant::now());
        }
    }
}

/// Processes of user space: neither this one, nor kthreadd (2) and its children.
fn processes() -> Vec<Process> {
    let mut found = Vec::new();
    for pid in names("/proc").iter().filter_map(|name| name.parse().ok()) {
        let status = file(format!("/proc/{pid}/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or("").trim().to_owned()
        };
        let parent = field("PPid:").parse().unwrap_or(0);
        if ![1, 2].contains(&pid) && parent != 2 && !status.is_empty() {
            found.push(Process {
                pid,
                parent,
                name: field("Name:"),
                state: field("State:").chars().take(1).collect(),
                call: file(format!("/proc/{pid}/syscall"))
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok()),
                switches: field("voluntary_ctxt_switches:").parse().unwrap_or(0),
            });
        }
    }
    found
}

/// The kernel log's lines that begin with `toehold: `. Each read of /dev/kmsg is one record: `numbers;text`.
fn messages() -> Vec<String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let log = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open("/dev/kmsg");
    let Ok(mut log) = log else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(len) => {
                let record = String::from_utf8_lossy(record.get(..len).unwrap_or(&[]));
                let line = record.split_once(';').map_or("", |(_, text)| text);
                let line = line.lines().next().unwrap_or("");
                if line.starts_with("toehold: ") {
                    found.push(line.to_owned());
                }
            }
            // Records that were overwritten before they could be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(_) => break,
        }
    }
    found
}
