//! The log: each message one line and one write to /dev/kmsg, so that dmesg keeps it. And the timeline for stage 2.

use crate::sys::clock;
use crate::sys::files::{File, STDERR, make_directory, open, write_file};
use rustix::fs::OFlags;
use toehold::failure::Stage;
use toehold::text::{Line, push, push_number};

/// A longer line than this is refused by the kernel (LOG_LINE_MAX less its own prefix).
const LINE: usize = 900;

pub struct Journal {
    log: File,
    start: u64,
    timeline: Line,
}

impl Journal {
    /// Starts the clock. Until [`Journal::open`] messages go to standard error.
    #[inline(never)] // Measured: smaller so.
    pub fn start() -> Self {
        Self {
            log: STDERR,
            start: clock::now(),
            timeline: Line::new(),
        }
    }

    /// Opens the kernel's log, and has it take every line: it would drop all but ten in five seconds.
    #[inline(never)] // Measured: smaller so.
    pub fn open(&mut self) {
        if let Ok(log) = open(c"/dev/kmsg", OFlags::WRONLY) {
            self.log = log;
        }
        // Where the command line fixed it (printk.devkmsg=), it stays as it is.
        let _ = write_file(c"/proc/sys/kernel/printk_devkmsg", b"on\n");
    }

    pub fn info(&self, parts: &[&[u8]]) {
        self.say(b'6', parts);
    }

    pub fn error(&self, parts: &[&[u8]]) {
        self.say(b'3', parts);
    }

    fn say(&self, level: u8, parts: &[&[u8]]) {
        let mut line = Line::new();
        if self.log != STDERR {
            push(&mut line, &[b'<', level, b'>']);
        }
        push(&mut line, b"toehold: ");
        for part in parts {
            push(&mut line, part);
        }
        line.truncate(LINE);
        push(&mut line, b"\n");
        // There is no other place to say that it cannot be said.
        let _ = self.log.write(&line);
    }

    /// A message that ends with the time since the start, which it returns as text.
    fn timed(&self, parts: [&[u8]; 3]) -> Line {
        let [head, name, tail] = parts;
        let mut time = Line::new();
        push_number(&mut time, clock::now().wrapping_sub(self.start));
        self.info(&[head, name, tail, b" us=", &time]);
        time
    }

    /// Logs the end of a stage, and keeps its time.
    pub fn done(&mut self, stage: Stage) {
        let time = self.timed([b"stage=", stage.name(), b" done"]);
        for part in [&time, b" ".as_slice(), stage.name(), b"\n"] {
            push(&mut self.timeline, part);
        }
    }

    /// The last words: leaves the timeline in /run and names the program that comes now.
    pub fn hand_over(&self, program: &[u8]) {
        let _ = make_directory(c"/run/toehold");
        let _ = write_file(c"/run/toehold/timeline", &self.timeline);
        self.timed([b"stage2 exec=", program, b""]);
    }
}
