//! The log: each message one line and one write to /dev/kmsg, so that dmesg keeps it. And the timeline for stage 2.

use crate::sys::clock;
use crate::sys::files::{CWD, File, make_directory, open_at, write_file};
use core::ffi::CStr;
use rustix::fs::OFlags;
use toehold::failure::{Failure, Stage};
use toehold::text::{Line, push, push_number};

/// A longer line than this is refused by the kernel (LOG_LINE_MAX less its own prefix).
const LINE: usize = 900;

pub struct Journal {
    kmsg: Option<File>,
    start: u64,
    timeline: Line,
    /// Seconds that a failure stays to be read.
    pub restart_after: u64,
}

impl Journal {
    /// Starts the clock. Until [`Journal::open`] messages go to standard error.
    pub fn start() -> Self {
        Self {
            kmsg: None,
            start: clock::now(),
            timeline: Line::new(),
            restart_after: 60,
        }
    }

    /// Opens the kernel's log, and has it take every line: it would drop all but ten in five seconds.
    pub fn open(&mut self) {
        self.kmsg = open_at(CWD, c"/dev/kmsg", OFlags::WRONLY).ok();
        // Where the command line fixed it (printk.devkmsg=), it stays as it is.
        let _ = write_file(c"/proc/sys/kernel/printk_devkmsg", b"on\n");
    }

    /// Microseconds since the start.
    pub fn elapsed(&self) -> u64 {
        clock::now().wrapping_sub(self.start)
    }

    pub fn info(&self, parts: &[&[u8]]) {
        self.say(b"<6>", parts);
    }

    pub fn warning(&self, parts: &[&[u8]]) {
        self.say(b"<4>", parts);
    }

    pub fn error(&self, parts: &[&[u8]]) {
        self.say(b"<3>", parts);
    }

    fn say(&self, level: &[u8], parts: &[&[u8]]) {
        let mut line = Line::new();
        if self.kmsg.is_some() {
            push(&mut line, level);
        }
        push(&mut line, b"toehold: ");
        for part in parts {
            push(&mut line, part);
        }
        line.truncate(LINE);
        push(&mut line, b"\n");
        // There is no other place to say that it cannot be said.
        let _ = match &self.kmsg {
            Some(kmsg) => kmsg.write(&line),
            None => crate::sys::files::STDERR.write(&line),
        };
    }

    /// A message that ends with the time.
    fn timed(&self, parts: &[&[u8]], us: u64) {
        let mut text = Line::new();
        for part in parts {
            push(&mut text, part);
        }
        push(&mut text, b" us=");
        push_number(&mut text, us);
        self.info(&[&text]);
    }

    /// Logs the end of a stage, and keeps its time.
    pub fn done(&mut self, stage: Stage) {
        let us = self.elapsed();
        self.timed(&[b"stage=", stage.name(), b" done"], us);
        push_number(&mut self.timeline, us);
        push(&mut self.timeline, b" ");
        push(&mut self.timeline, stage.name());
        push(&mut self.timeline, b"\n");
    }

    /// The last words: leaves the timeline in /run and names the program that comes now.
    pub fn hand_over(&self, program: &CStr) {
        let _ = make_directory(c"/run/toehold");
        let _ = write_file(c"/run/toehold/timeline", &self.timeline);
        self.timed(&[b"stage2 exec=", program.to_bytes()], self.elapsed());
    }

    /// The line of a failure, and what to do about it.
    pub fn failed(&self, failure: &Failure) {
        let mut text = Line::new();
        failure.describe(&mut text);
        self.error(&[&text]);
        self.error(&[failure.advice()]);
    }
}
