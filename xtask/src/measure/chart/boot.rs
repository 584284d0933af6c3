//! What happened in a boot: stages, processes with what they loaded or unpacked, and what PID 1 waited for.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, bail};

use super::path::{self, Kind, Segment, What};
use super::record::{self, Traced};
use super::unpacking::{Unpacking, unpacking};
use super::{milliseconds, size};
use crate::measure::trace::{self, Outcome};
use builder::initrd::manifest::Manifest;

/// Where the init has modules.
pub const MODULES: &str = "/lib/modules/";

/// A boot of the init. Times are microseconds since its start.
#[derive(Debug)]
pub struct Boot<'a> {
    /// The kernel's release.
    pub release: Option<&'a str>,
    /// When it was over, or the log ends.
    pub end: u64,
    pub stages: Vec<Stage>,
    /// The program that was executed, and when.
    pub stage2: Option<(String, u64)>,
    /// The failure line from `stage=` on, and when.
    pub failed: Option<(String, u64)>,
    /// All traced calls, in the log's order.
    pub calls: Vec<Traced<'a>>,
    /// All but PID 1, in the order of their starts.
    pub processes: Vec<Process>,
    /// What the boot spent its time with: one thing at each moment, from its start to its end. Empty without a trace.
    pub path: Vec<Segment>,
    /// Lines of the trace that do not parse: their numbers, and why.
    pub unread: Vec<(usize, trace::Error)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    pub name: String,
    pub span: Range<u64>,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Done,
    Failed,
    /// Its end is not in the log.
    Open,
}

/// A child, which loads a module or unpacks a group of them as a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    pub pid: u32,
    pub span: Range<u64>,
    /// What it loads or unpacks; otherwise its most frequent call.
    pub name: String,
    /// The call in which the kernel takes the module in and runs its init function, and its error.
    pub load: Option<(Range<u64>, Option<String>)>,
    pub unpacking: Option<Unpacking>,
    /// When the boot waited for it.
    pub awaited: Vec<Range<u64>>,
}

impl Process {
    /// What it did and how long that took, for people: `btrfs 412 ms`, `group 3: 412 KB to 2.9 MB, 38.2 ms`.
    pub fn label(&self) -> String {
        let length = milliseconds(self.span.end - self.span.start);
        let label = match &self.unpacking {
            None => format!("{} {length}", self.name),
            Some(Unpacking { packed, bytes, .. }) => match (packed, bytes) {
                (_, 0) => format!("{}, {length}", self.name),
                (None, _) => format!("{}, {}, {length}", self.name, size(*bytes)),
                (Some(packed), _) => {
                    let packed = size(*packed as u64);
                    format!("{}: {packed} to {}, {length}", self.name, size(*bytes))
                }
            },
        };
        match self.error() {
            Some(error) => format!("{label}, {error}"),
            None => label,
        }
    }

    /// Why it failed, if it did.
    pub fn error(&self) -> Option<&str> {
        let load = self.load.as_ref().and_then(|(_, error)| error.as_deref());
        let unpacking = self.unpacking.as_ref();
        load.or_else(|| unpacking.and_then(|unpacking| unpacking.error.as_deref()))
    }
}

impl<'a> Boot<'a> {
    /// Finds out what happened in the last boot of a serial log, of `dmesg`'s output, or of /run/toehold/trace.
    ///
    /// # Errors
    /// Nothing in it is Toehold's, or nothing tells a time.
    pub fn read(log: &'a str) -> Result<Self> {
        let record = record::read(log);
        let calls = record.calls;
        let ends = calls.iter().map(|call| call.to);
        let told = record.stages.iter().chain(&record.stage2);
        let failed = record.failed.as_ref().and_then(|(_, at)| *at);
        let end = ends
            .chain(told.map(|(_, micros)| *micros))
            .chain(failed)
            .max();
        let Some(end @ 1..) = end else {
            if let Some((line, error)) = record.unread.first() {
                bail!("line {line} is none of rd.earlytrace: {error}");
            }
            if record.failed.is_some() {
                bail!(
                    "the log tells of a failure, but not when: it needs the kernel's times (printk.time=1)"
                );
            }
            bail!(
                "there is no line of Toehold's that tells a time: a serial log, dmesg's output or /run/toehold/trace is needed, best of a boot \
                 with rd.earlytrace on the kernel command line (`cargo xtask boot --chart FILE` makes one)"
            );
        };
        // After stage 2 has taken over there is nothing of ours.
        let end = record.stage2.as_ref().map_or(end, |(_, at)| *at.min(&end));
        let failed = record.failed.map(|(text, at)| (text, at.unwrap_or(end)));
        let mut processes = processes(&calls, end);
        let path = path::path(&calls, &processes, end);
        for segment in &path {
            if let What::Process(pid) = segment.what
                && let Some(process) = processes.iter_mut().find(|process| process.pid == pid)
            {
                let span = cut(&segment.span, &process.span);
                process.awaited.push(span);
            }
        }
        Ok(Self {
            release: record.release,
            stages: stages(record.stages, failed.as_ref(), end),
            end,
            stage2: record.stage2,
            failed,
            calls,
            processes,
            path,
            unread: record.unread,
        })
    }

    /// Takes from the initrd's manifest what each group is in the pack.
    pub fn tell_packed(&mut self, manifest: &Manifest) {
        let unpackings = self.processes.iter_mut();
        for unpacking in unpackings.filter_map(|process| process.unpacking.as_mut()) {
            let of = |group: &Option<usize>| *group == Some(unpacking.group);
            let items = manifest.entries.iter().filter(|item| of(&item.group));
            let bytes: usize = items.filter_map(|item| item.packed_bytes).sum();
            unpacking.packed = Some(bytes).filter(|bytes| *bytes != 0);
        }
    }

    /// What the boot spent its time with, most first; microseconds.
    pub fn totals(&self) -> Vec<(&What, u64)> {
        let mut sums: BTreeMap<&What, u64> = BTreeMap::new();
        for Segment { span, what, .. } in &self.path {
            *sums.entry(what).or_default() += span.end - span.start;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, micros)| std::cmp::Reverse(*micros));
        sums
    }

    /// For people.
    pub fn name(&self, what: &What) -> String {
        match what {
            What::Call(kind) => kind.name().to_owned(),
            What::Process(pid) => {
                let process = self.processes.iter().find(|process| process.pid == *pid);
                process.map_or_else(|| format!("process {pid}"), |process| process.name.clone())
            }
            What::Device(name) => name.clone(),
            What::Time => "time out".to_owned(),
            What::Unknown => "unknown".to_owned(),
        }
    }

    /// PID 1's calls, each with its kind.
    pub fn own_calls(&self) -> Vec<(&Traced<'a>, Kind)> {
        path::kinds(&self.calls)
    }
}

/// One after the other, and what comes behind the last one's end.
fn stages(done: Vec<(String, u64)>, failed: Option<&(String, u64)>, end: u64) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut add = |name: &str, to: u64, state| {
        let from = stages.last().map_or(0, |stage: &Stage| stage.span.end);
        stages.push(Stage {
            name: name.to_owned(),
            span: from..to.max(from),
            state,
        });
    };
    for (name, to) in &done {
        add(name, *to, State::Done);
    }
    if let Some((text, at)) = failed {
        let name = text.strip_prefix("stage=").unwrap_or(text);
        add(name.split(' ').next().unwrap_or(name), *at, State::Failed);
    }
    let last = done.last().map_or(0, |(_, to)| *to);
    match (failed, done.last()) {
        (Some((_, at)), _) if end > *at => add("after the failure", end, State::Open),
        (None, Some((name, _))) if name == "switch-root" && end > last => {
            add("hand-over", end, State::Done);
        }
        (None, _) if end > last => add("unfinished", end, State::Open),
        _ => {}
    }
    stages
}

/// All but PID 1.
fn processes(calls: &[Traced], end: u64) -> Vec<Process> {
    let mut of: BTreeMap<u32, Vec<&Traced>> = BTreeMap::new();
    for traced in calls.iter().filter(|traced| traced.call.pid != 1) {
        of.entry(traced.call.pid).or_default().push(traced);
    }
    let mut processes: Vec<Process> = of
        .into_iter()
        .map(|(pid, calls)| process(pid, &calls, end))
        .collect();
    processes.sort_by_key(|process| (process.span.start, process.pid));
    processes
}

fn process(pid: u32, calls: &[&Traced], end: u64) -> Process {
    let from = calls.first().map_or(0, |traced| traced.from).min(end);
    let exit = calls.last().filter(|last| {
        matches!(last.call.name, "exit_group" | "execve") && last.call.result == Outcome::NoReturn
    });
    let to = exit.map_or(end, |last| last.to.clamp(from, end));
    let (mut module, mut load) = (None, None);
    for Traced { from, to, call } in calls {
        if call.name == "openat"
            && let Some(found) = call.path(1).and_then(module_of)
        {
            module = Some(found.to_owned());
        }
        if matches!(call.name, "finit_module" | "init_module") {
            let error = match call.result {
                Outcome::Errno(name) => Some(name.to_owned()),
                Outcome::Error(number) => Some(format!("error {number}")),
                Outcome::Value(_) | Outcome::NoReturn => None,
            };
            load = Some((*from..*to, error));
        }
    }
    // The modules of a group are opened, too: to be written.
    let unpacking = unpacking(calls);
    let group = unpacking
        .as_ref()
        .map(|found| format!("group {}", found.group));
    let name = group.or(module).unwrap_or_else(|| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for traced in calls {
            *counts.entry(traced.call.name).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        format!("process {pid}: {}", most.map_or("", |(name, _)| name))
    });
    let span = from..to;
    Process {
        pid,
        name,
        load: load.map(|(load, error)| (cut(&load, &span), error)),
        unpacking: unpacking.map(|unpacking| Unpacking {
            span: cut(&unpacking.span, &span),
            ..unpacking
        }),
        span,
        awaited: Vec::new(),
    }
}

/// The module in a file of that name.
pub fn module_of(path: &str) -> Option<&str> {
    let file = path.strip_prefix(MODULES)?.rsplit('/').next()?;
    file.find(".ko").and_then(|end| file.get(..end))
}

/// The part of a span that is within another.
fn cut(span: &Range<u64>, within: &Range<u64>) -> Range<u64> {
    let clamp = |time: u64| time.clamp(within.start, within.end);
    clamp(span.start)..clamp(span.end)
}
