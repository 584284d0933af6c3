//! The times at which the stages were done: in the log, and as a timeline for stage 2.

use crate::sys::clock;
use crate::sys::files::write_file;
use crate::sys::log::Log;
use toehold::failure::Stage;
use toehold::text::{Line, push_format, push_number};

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

    /// Logs the end of a stage, and notes its time.
    #[inline(always)] // size: inline
    pub fn done(&mut self, log: &Log, stage: Stage) {
        let time = self.timed(log, b"stage=% done us=%", stage.name());
        push_format(&mut self.timeline, b"% %\n", &[&time, stage.name()]);
    }

    /// The last words: leaves the timeline in /run and names the program that comes now.
    pub fn hand_over(&self, log: &Log, program: &[u8]) {
        let _ = write_file(c"/run/toehold/timeline", &self.timeline);
        self.timed(log, b"stage2 exec=% us=%", program);
    }
}
