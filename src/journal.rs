//! The log: each message one line and one write to /dev/kmsg, so that dmesg keeps it. And the timeline for stage 2.

use crate::sys::clock;
use crate::sys::files::{File, STDIN, open, write_file};
use rustix::fs::OFlags;
use toehold::failure::Stage;
use toehold::text::{Line, fill, push, push_number};

/// A longer line than this is refused by the kernel (LOG_LINE_MAX less its own prefix).
const LINE: usize = 900;

/// Where messages go.
#[derive(Clone, Copy)]
pub struct Log {
    pub file: File,
    /// What stands before each, if it is not just our name; `%` is the level, as printk takes it.
    pub prefix: Option<&'static [u8]>,
}

impl Log {
    /// Before [`Boot::start`](crate::boot::Boot::start).
    pub const NONE: Self = Self {
        file: STDIN,
        prefix: None,
    };

    /// Opens the kernel's log, and has it take every line: it would drop all but ten in five seconds.
    pub fn open(&mut self) {
        if let Ok(file) = open(c"/dev/kmsg", OFlags::WRONLY) {
            let prefix = Some(b"<%>toehold: ".as_slice());
            *self = Self { file, prefix };
        }
        // Where the command line fixed it (printk.devkmsg=), it stays as it is.
        let _ = write_file(c"/proc/sys/kernel/printk_devkmsg", b"on\n");
    }

    pub fn info(&self, template: &[u8], parts: &[&[u8]]) {
        self.say(b"6", template, parts);
    }

    /// Says `template` with the `parts` in place of its `%`.
    pub fn error(&self, template: &[u8], parts: &[&[u8]]) {
        self.say(b"3", template, parts);
    }

    fn say(&self, level: &[u8], template: &[u8], parts: &[&[u8]]) {
        let mut line = Line::new();
        fill(&mut line, self.prefix.unwrap_or(b"toehold: "), &[level]);
        fill(&mut line, template, parts);
        line.truncate(LINE);
        push(&mut line, b"\n");
        // There is no other place to say that it cannot be said.
        let _ = self.file.write(&line);
    }
}

pub struct Journal {
    start: u64,
    timeline: Line,
}

impl Journal {
    /// Before [`Journal::start`].
    pub const NONE: Self = Self {
        start: 0,
        timeline: Line::new(),
    };

    /// Starts the clock.
    pub fn start(&mut self) {
        self.start = clock::now();
    }

    /// A message that ends with the time since the start, which it returns as text.
    fn timed(&self, log: &Log, template: &[u8], name: &[u8]) -> Line {
        let mut time = Line::new();
        push_number(&mut time, clock::now().wrapping_sub(self.start));
        log.info(template, &[name, &time]);
        time
    }

    /// Logs the end of a stage, and keeps its time.
    pub fn done(&mut self, log: &Log, stage: Stage) {
        let time = self.timed(log, b"stage=% done us=%", stage.name());
        fill(&mut self.timeline, b"% %\n", &[&time, stage.name()]);
    }

    /// The last words: leaves the timeline in /run and names the program that comes now.
    pub fn hand_over(&self, log: &Log, program: &[u8]) {
        let _ = write_file(c"/run/toehold/timeline", &self.timeline);
        self.timed(log, b"stage2 exec=% us=%", program);
    }
}
