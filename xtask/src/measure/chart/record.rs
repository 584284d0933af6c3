//! A log, read: messages, and each traced call with its place on the time axis.
//!
//! A line tells how long it was since the last one of its process, and a new process counts on from where its parent was when it was
//! made: adding up gives every line its time, whatever order the log has them in. Lines that are lost would shift what follows them; the
//! ends of stages, which come with their time since the start of init, put that right.

use std::collections::HashMap;

use toehold::shared::LOG_PREFIX;

use crate::lab::console;
use crate::measure::trace::{self, Argument, Call};

/// What the log holds of one start of the init. Times are microseconds since that.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// The kernel's release.
    pub release: Option<&'a str>,
    /// In the order of the log.
    pub calls: Vec<Traced<'a>>,
    /// Stages with their ends.
    pub stages: Vec<(String, u64)>,
    /// The program that was executed at the end.
    pub stage2: Option<(String, u64)>,
    /// The failure line from `stage=` on, and when it was written, where that can be told.
    pub failed: Option<(String, Option<u64>)>,
    /// Lines of the trace that do not parse: their numbers, and why.
    pub unread: Vec<(usize, trace::Error)>,
}

/// A system call at its time.
#[derive(Debug)]
pub struct Traced<'a> {
    pub from: u64,
    pub to: u64,
    pub call: Call<'a>,
}

/// What is known while lines are read.
#[derive(Default)]
struct Reader<'a> {
    record: Record<'a>,
    /// Before how many calls a stage ended, and when, microseconds since the start of init.
    anchors: Vec<(usize, i64)>,
    /// Before how many calls the failure was told of.
    failed_before: usize,
    /// The kernel's clock when the init started, microseconds; and at the failure.
    kernel_zero: Option<u64>,
    kernel_failed: Option<u64>,
    /// PID 1 is about to execute something.
    leaves: bool,
}

/// Reads the last boot in a log.
pub fn read(log: &str) -> Record<'_> {
    let lines: Vec<&str> = log.lines().collect();
    let boots = lines.iter().enumerate().filter(|(_, line)| {
        console::message(line).is_some_and(|(_, text)| text.starts_with("Linux version "))
    });
    // A log may end in a boot that did not get as far as the init.
    let start = boots
        .map(|(index, _)| index)
        .rfind(|index| lines[*index..].iter().any(|line| line.contains(LOG_PREFIX)))
        .unwrap_or(0);
    let mut reader = Reader::default();
    for (number, line) in (1..).zip(&lines).skip(start) {
        reader.line(number, line);
    }
    reader.finish()
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: usize, line: &'a str) {
        match trace::parse(line) {
            Some(Ok(call)) => return self.call(call),
            Some(Err(error)) => return self.record.unread.push((number, error)),
            None => {}
        }
        let (time, text) = match console::message(line.trim_end()) {
            Some((time, text)) => (Some(time.as_micros() as u64), text),
            None => (None, line.trim_end()),
        };
        if let Some(version) = text.strip_prefix("Linux version ") {
            self.record.release = version.split(' ').next();
        }
        if text.starts_with("Run /init as init process") {
            self.kernel_zero = time;
        }
        if let Some(message) = text.strip_prefix(LOG_PREFIX) {
            self.message(message, time);
        }
    }

    fn call(&mut self, call: Call<'a>) {
        if call.pid == 1 {
            // The init has started over: what counts is what it does now.
            if self.leaves && call.name != "execve" {
                self.start_over();
            }
            self.leaves = call.name == "execve" && call.result == trace::Outcome::NoReturn;
            // The trace in /run has no messages, but the calls that wrote them.
            if let ("write", Some(Argument::Text(text, more))) = (call.name, call.arguments.get(1))
                && let Ok(text) = std::str::from_utf8(text)
                && let Some((_, message)) = text.split_once(">toehold: ")
            {
                let more = if *more { "…" } else { "" };
                self.message(&format!("{}{more}", message.trim_end()), None);
            }
        }
        self.record.calls.push(Traced {
            from: 0,
            to: 0,
            call,
        });
    }

    fn start_over(&mut self) {
        let release = self.record.release;
        *self = Self::default();
        self.record.release = release;
    }

    /// What Toehold said, at the kernel's time.
    fn message(&mut self, message: &str, time: Option<u64>) {
        let record = &mut self.record;
        let timed = |rest: &str, separator| {
            let (name, micros): (&str, &str) = rest.rsplit_once(separator)?;
            Some((name.to_owned(), micros.parse::<u64>().ok()?))
        };
        if let Some(rest) = message.strip_prefix("stage=") {
            if let Some(stage) = timed(rest, " done us=")
                && !record.stages.contains(&stage)
            {
                let micros = i64::try_from(stage.1).unwrap_or(i64::MAX);
                self.anchors.push((record.calls.len(), micros));
                self.kernel_zero = time.map_or(self.kernel_zero, |time| time.checked_sub(stage.1));
                record.stages.push(stage);
            }
        } else if let Some(rest) = message.strip_prefix("stage2 exec=") {
            record.stage2 = timed(rest, " us=").or(record.stage2.take());
        } else if let Some(rest) = message.strip_prefix("FAILED ") {
            // The message itself, not the call that wrote it, which may have been cut.
            if record.failed.is_none() {
                record.failed = Some((rest.to_owned(), None));
                self.kernel_failed = time;
                self.failed_before = record.calls.len();
            }
        } else if message == "retry" {
            self.start_over();
        }
    }

    fn finish(mut self) -> Record<'a> {
        self.place();
        let before = self.record.calls.get(..self.failed_before);
        let last = before.and_then(|calls| calls.iter().rfind(|call| call.call.pid == 1));
        let told = self.kernel_failed.zip(self.kernel_zero);
        if let Some((_, at)) = &mut self.record.failed {
            *at = last
                .map(|call| call.to)
                .or_else(|| told.and_then(|(failed, zero)| failed.checked_sub(zero)));
        }
        self.record
    }

    /// Gives every call its time.
    fn place(&mut self) {
        let calls = &mut self.record.calls;
        // When processes were made: the time up to which their parents had come then.
        let mut births: HashMap<u32, (u32, i64)> = HashMap::new();
        let mut relative: HashMap<u32, i64> = HashMap::new();
        for Traced { call, .. } in calls.iter() {
            let now = relative.entry(call.pid).or_default();
            if call.name == "clone"
                && let Some(child) = call.value().and_then(|child| u32::try_from(child).ok())
                && child != 0
            {
                births.insert(child, (call.pid, *now));
            }
            *now = now.saturating_add(micros(call.gap));
        }
        // All times from here on count from the kernel's start.
        let mut last: HashMap<u32, i64> = HashMap::new();
        let mut base: HashMap<u32, i64> = HashMap::new();
        let mut latest = 0;
        let mut times = Vec::new();
        for Traced { call, .. } in calls.iter() {
            let now = last.entry(call.pid).or_insert_with(|| {
                let birth = births
                    .get(&call.pid)
                    .and_then(|(parent, time)| Some(base.get(parent)?.saturating_add(*time)));
                // Where the birth is lost: its first line was written when the line before it was.
                let guess = i64::saturating_sub(latest, micros(call.gap));
                let start = if call.pid == 1 {
                    0
                } else {
                    birth.unwrap_or(guess)
                };
                base.insert(call.pid, start);
                start
            });
            *now = now.saturating_add(micros(call.gap));
            latest = *now;
            times.push(*now);
        }
        let shifts = shifts(calls, &times, &self.anchors);
        let mut ends: HashMap<u32, u64> = HashMap::new();
        for ((traced, time), shift) in calls.iter_mut().zip(times).zip(shifts) {
            let end = ends.entry(traced.call.pid).or_default();
            let time = time.saturating_add(shift);
            let started = time.saturating_sub(micros(traced.call.duration));
            traced.to = u64::try_from(time).unwrap_or(0).max(*end);
            traced.from = u64::try_from(started).unwrap_or(0).clamp(*end, traced.to);
            *end = traced.to;
        }
    }
}

/// For each call what makes its time one since the start of init: as the next stage's end says, or the last one's.
fn shifts(calls: &[Traced], times: &[i64], anchors: &[(usize, i64)]) -> Vec<i64> {
    let mut known = Vec::new();
    for (before, micros) in anchors {
        let earlier = calls.iter().zip(times).take(*before);
        let last = earlier.rev().find(|(traced, _)| traced.call.pid == 1);
        if let Some((_, time)) = last {
            known.push((*before, micros.saturating_sub(*time)));
        }
    }
    let first = calls.iter().zip(times);
    let first = first.map(|(traced, time)| time.saturating_sub(micros(traced.call.duration)));
    let unknown = first.min().unwrap_or(0).saturating_neg();
    (0..calls.len())
        .map(|index| {
            let next = known.iter().find(|(before, _)| *before > index);
            next.or(known.last()).map_or(unknown, |(_, shift)| *shift)
        })
        .collect()
}

/// As a difference.
fn micros(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
