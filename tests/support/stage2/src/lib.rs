//! What stage 2 reports of the machine that it was started on: one line of JSON, shared with the host that reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Written to the kernel log first of all; the bench measures up to it.
pub const HELLO: &str = "toehold-stage2: hello";

/// The state of the machine when stage 2 began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub pid: u32,
    pub argv: Vec<String>,
    /// `NAME=value`, in the order of the environment vector.
    pub environment: Vec<String>,
    /// The kernel's command line.
    pub cmdline: String,
    /// As `uname -r` prints it.
    pub release: String,
    pub mounts: Vec<Mount>,
    /// Names of the loaded modules, last loaded first.
    pub modules: Vec<String>,
    /// Fields of /proc/meminfo in KiB, read before anything else was started; and `PerCpuLists`, the free pages that
    /// processors keep at hand, which are not counted there.
    pub memory: BTreeMap<String, u64>,
    /// Text of each file below /run/toehold, /run/udev/rules.d and /sys/fs/pstore, by path.
    pub files: BTreeMap<String, String>,
    /// Names in `/`.
    pub root: Vec<String>,
    /// Names in /dev/mapper.
    pub mapper: Vec<String>,
    /// Name and UUID of dm-0, if there is one.
    pub dm: Option<Dm>,
    /// What `veritysetup status usr` said.
    pub veritysetup: Output,
    pub dmsetup_table: Output,
    pub dmsetup_status: Output,
    /// What veritysetup itself made of the same device, where the command line asks for it.
    pub oracle: Option<Oracle>,
    pub loops: Vec<Loop>,
    /// Length of `/usr.squashfs`, if it is there and holds what the first loop device shows.
    pub carried: Option<u64>,
    /// Names of all block devices, partitions too.
    pub block_devices: Vec<String>,
    /// Whether a file can be created in `/`.
    pub root_is_writable: bool,
    /// Every process of user space but this one, when none of them was about to end any more.
    pub processes: Vec<Process>,
    /// Lines of the kernel log that begin with `toehold: `.
    pub messages: Vec<String>,
    /// Files read below /usr and their bytes, where the command line asks for it.
    pub read: Option<Read>,
    /// What `/sbin/modprobe -q --` was asked, in turn, and what it exited with.
    pub asked: Vec<(String, Option<i32>)>,
    /// What `toehold-mkinitrd profile` made of this machine, where the command line asks for it.
    pub profile: Option<Output>,
    /// How long PID 1 was on a processor before it was asked, in nanoseconds.
    pub ran: u64,
    /// The system calls that the kernel recorded up to stage 2's first ones; absent if it was not asked to.
    pub calls: Option<Result<Vec<SystemCall>, String>>,
}

/// A system call as the kernel saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCall {
    pub pid: u32,
    pub number: i64,
    /// As the kernel returns it, below 0 an error; absent for a call that did not end.
    pub result: Option<i64>,
}

/// One line of /proc/self/mountinfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub point: String,
    pub fstype: String,
    pub source: String,
    /// Options of this mount.
    pub options: Vec<String>,
    /// Options of the filesystem.
    pub super_options: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dm {
    pub name: String,
    pub uuid: String,
}

/// A verity device that `veritysetup open` made from the words that the init had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oracle {
    pub open: Output,
    /// The data device that it was given, MAJOR:MINOR: a window on the real one, which belongs to the init's device.
    pub data: String,
    pub uuid: String,
    pub table: Output,
    /// What `veritysetup status` said.
    pub status: Output,
}

/// One loop device that has a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    pub name: String,
    pub backing_file: String,
    pub read_only: bool,
    pub autoclear: bool,
}

/// A program that ran to its end. `code` is absent if it could not be started or died by a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub name: String,
    /// As in /proc/PID/stat: `S` sleeps, `D` does so whatever comes.
    pub state: String,
    /// Number of the system call that it is in, if any.
    pub call: Option<u32>,
    /// How often it gave its processor away.
    pub switches: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub files: u64,
    pub bytes: u64,
    /// Path and error of each file that could not be read.
    pub errors: Vec<String>,
}

impl Report {
    /// The mount on top at `point`.
    pub fn mount(&self, point: &str) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == point)
    }

    /// A field of /proc/meminfo in KiB.
    pub fn memory(&self, field: &str) -> u64 {
        self.memory.get(field).copied().unwrap_or(0)
    }

    /// What `veritysetup status usr` says.
    pub fn verity(&self) -> BTreeMap<String, String> {
        self.veritysetup.fields()
    }
}

impl Output {
    /// The fields of `veritysetup status` (`type`, `status`, `root hash` …), and the first line under `""`.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut lines = self.stdout.lines();
        let first = lines.next().unwrap_or("").trim_end().to_owned();
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .chain([(String::new(), first)])
            .collect()
    }
}

/// Reads one line of mountinfo (proc_pid_mountinfo(5)); octal escapes are undone.
pub fn mount(line: &str) -> Option<Mount> {
    let (own, rest) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(4);
    let mut rest = rest.split(' ');
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    Some(Mount {
        point: unescape(own.next()?),
        options: list(own.next()?),
        fstype: rest.next()?.to_owned(),
        source: unescape(rest.next()?),
        super_options: list(rest.next()?),
    })
}

fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo() {
        let line =
            "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let found = mount(line).unwrap();
        assert_eq!(found.point, "/mnt 2");
        assert_eq!(
            (found.fstype.as_str(), found.source.as_str()),
            ("ext3", "/dev/root")
        );
        assert_eq!(found.options, ["rw", "noatime"]);
        assert_eq!(found.super_options, ["rw", "errors=continue"]);
        assert_eq!(mount("36 35 98:0 / /"), None);
    }

    #[test]
    fn the_fields_of_veritysetup_status() {
        let mut report = Report::default();
        report.veritysetup.stdout =
            "/dev/mapper/usr is active and is in use.\n  type:        VERITY\n  status:      verified\n".into();
        let fields = report.verity();
        assert_eq!(fields[""], "/dev/mapper/usr is active and is in use.");
        assert_eq!(fields["status"], "verified");
    }
}
