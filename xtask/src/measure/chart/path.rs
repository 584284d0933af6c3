//! What the boot spent its time with, one thing at each moment: calls of PID 1, and in its waits what ended them.

use std::ops::Range;

use super::boot::Process;
use super::record::Traced;
use crate::measure::trace::{Argument, Call};

/// The calls of which an idle PID 1 makes some after each wait, whatever it was that woke it up.
const IDLE: [&str; 5] = ["clock_gettime", "ppoll", "read", "recvfrom", "wait4"];

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    pub span: Range<u64>,
    pub what: What,
    /// The kernel's message that ended it, `ACTION@DEVPATH`, if it was one.
    pub message: Option<String>,
}

/// What PID 1 did, or what it waited for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    Call(Kind),
    /// The end of this process.
    Process(u32),
    /// A device that came up.
    Device(String),
    /// Time passed without anything.
    Time,
    /// The log does not tell.
    Unknown,
}

/// Kinds of calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Mount,
    /// Device-mapper and loop devices.
    Mapper,
    /// Block devices: opened, asked, read.
    Disk,
    /// Other calls, the init's own code, and writing the trace.
    Other,
    Wait,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mount => "mounts",
            Self::Mapper => "device-mapper, loop",
            Self::Disk => "block devices",
            Self::Other => "PID 1 itself",
            Self::Wait => "waits",
        }
    }
}

/// PID 1's calls, each with its kind.
pub fn kinds<'c, 'a>(calls: &'c [Traced<'a>]) -> Vec<(&'c Traced<'a>, Kind)> {
    // Descriptors of block devices.
    let mut disks: Vec<i128> = Vec::new();
    let own = calls.iter().filter(|traced| traced.call.pid == 1);
    own.map(|traced| (traced, kind(&traced.call, &mut disks)))
        .collect()
}

fn kind(call: &Call, disks: &mut Vec<i128>) -> Kind {
    let file = call.number(0);
    let is_disk = file.is_some_and(|file| disks.contains(&file));
    match call.name {
        "ppoll" => Kind::Wait,
        "mount" | "umount2" | "pivot_root" => Kind::Mount,
        "ioctl" => match call.arguments.get(1) {
            Some(Argument::Names(name)) if name.starts_with("DM_") => Kind::Mapper,
            Some(Argument::Names(name)) if name.starts_with("LOOP_") => Kind::Mapper,
            _ if is_disk => Kind::Disk,
            _ => Kind::Other,
        },
        "openat" => {
            const OTHERS: [&str; 4] = ["console", "kmsg", "loop-control", "mapper/control"];
            let name = call.path(1).and_then(|path| path.strip_prefix("/dev/"));
            match (name, call.value()) {
                (Some(name), Some(file)) if !OTHERS.contains(&name) => {
                    disks.push(file.into());
                    Kind::Disk
                }
                _ => Kind::Other,
            }
        }
        "close" if is_disk => {
            disks.retain(|disk| Some(*disk) != file);
            Kind::Disk
        }
        "read" | "pread64" if is_disk => Kind::Disk,
        _ => Kind::Other,
    }
}

/// What the boot spent its time with: PID 1's calls by their kind, and in its waits what ended them.
pub fn path(calls: &[Traced], processes: &[Process], end: u64) -> Vec<Segment> {
    let own = kinds(calls);
    let mut path: Vec<Segment> = Vec::new();
    let mut add = |span: Range<u64>, what: What, message: Option<String>| {
        let from = path.last().map_or(0, |segment: &Segment| segment.span.end);
        let (start, to) = (span.start.clamp(from, end), span.end.clamp(from, end));
        let before = (start, What::Call(Kind::Other), None);
        for (to, what, message) in [before, (to, what, message)] {
            let from = path.last().map_or(0, |segment| segment.span.end);
            match path.last_mut() {
                _ if to <= from => {}
                Some(last) if last.what == what => last.span.end = to,
                _ => path.push(Segment {
                    span: from..to,
                    what,
                    message,
                }),
            }
        }
    };
    let mut index = 0;
    while let Some((traced, kind)) = own.get(index) {
        index += 1;
        match kind {
            Kind::Other => {}
            Kind::Wait => {
                let idle = own.iter().skip(index);
                let count = idle
                    .take_while(|(traced, _)| IDLE.contains(&traced.call.name))
                    .count();
                // All that it does before it waits again, for nothing that came of this.
                let turns = own.get(index - 1..index + count).unwrap_or_default();
                let last = turns.iter().rposition(|(_, kind)| *kind == Kind::Wait);
                let (wait, after) = turns.split_at(last.unwrap_or(0));
                if let [(wakeup, _), after @ ..] = after {
                    let span = traced.from..wakeup.to;
                    let (what, message) = cause(wakeup, after, processes);
                    add(span, what, message);
                }
                index += wait.len();
            }
            kind => add(traced.from..traced.to, What::Call(*kind), None),
        }
    }
    if !own.is_empty() {
        add(end..end, What::Call(Kind::Other), None);
    }
    path
}

/// What ended a wait: after its last `ppoll`, PID 1 looks for children that have ended, and takes in what came from the kernel about
/// devices. The message that it acts on, if any, is the last one; there may be more behind it.
fn cause(
    wakeup: &Traced,
    after: &[(&Traced, Kind)],
    processes: &[Process],
) -> (What, Option<String>) {
    let calls = |name: &'static str| {
        let calls = after.iter().map(|(traced, _)| &traced.call);
        calls.filter(move |call| call.name == name)
    };
    let acts = calls("recvfrom").next_back();
    let acts = acts.is_some_and(|call| call.value().is_some());
    let ended = calls("wait4")
        .filter_map(|call| u32::try_from(call.value()?).ok())
        .filter_map(|pid| processes.iter().find(|process| process.pid == pid))
        .max_by_key(|process| process.span.end);
    if let (false, Some(process)) = (acts, ended) {
        return (What::Process(process.pid), None);
    }
    let Some(message) = calls("recvfrom").filter_map(message).next_back() else {
        return match wakeup.call.value() {
            Some(0) => (What::Time, None),
            _ => (What::Unknown, None),
        };
    };
    let path = message.split_once('@').map_or("", |(_, path)| path);
    let name = path.rsplit('/').next().unwrap_or_default();
    let loads = || processes.iter().filter(|process| process.load.is_some());
    let module = path.strip_prefix("/module/").and_then(|module| {
        loads().find(|process| process.name.replace('-', "_") == module.replace('-', "_"))
    });
    // What is loading then, if it is one: the device came of that.
    let mut loading = loads().filter(|process| {
        let load = process.load.as_ref().map(|(load, _)| load);
        load.is_some_and(|load| load.start < wakeup.to && load.end > wakeup.from)
    });
    let what = match (module, loading.next(), loading.next()) {
        (Some(process), ..) | (None, Some(process), None) => What::Process(process.pid),
        _ => What::Device(name.to_owned()),
    };
    (what, Some(message))
}

/// `ACTION@DEVPATH` of a message from the kernel about a device.
fn message(call: &Call) -> Option<String> {
    let (Some(_), Some(Argument::Text(text, _))) = (call.value(), call.arguments.get(1)) else {
        return None;
    };
    let text = String::from_utf8_lossy(text);
    text.split('\0').next().map(str::to_owned)
}
