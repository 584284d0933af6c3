//! What was seen and what became of it: for the person who reads the log after a failure, and for stage 2.

use crate::boot::Boot;
use crate::sys::files::{contents, each_entry, open};
use rustix::fs::OFlags;
use toehold::schedule::State;
use toehold::text::{Line, push};

impl Boot {
    /// Leaves the report for stage 2.
    pub fn leave_report(&self) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        if let Ok(file) = open(c"/run/toehold/report", flags) {
            self.report(true, &mut |line| {
                let _ = file.write(line);
                let _ = file.write(b"\n");
            });
            file.close();
        }
    }

    /// A line on one module.
    pub fn standing(&self, index: usize, name: &[u8]) -> Line {
        let mut line = Line::new();
        for part in [b"module ", name, b": "] {
            push(&mut line, part);
        }
        self.schedule.state(index).push(&mut line);
        line
    }

    /// Calls `say` with each line: the modules that were asked for (unless `all`, only those that are not loaded), and the block
    /// devices that there are, as the kernel describes them.
    #[inline(never)]
    pub fn report(&self, all: bool, say: &mut dyn FnMut(&[u8])) {
        for (index, module) in self.plan.modules().enumerate() {
            let state = self.schedule.state(index);
            if state != State::UNASKED && (all || state != State::LOADED) {
                say(&self.standing(index, module.name));
            }
        }
        each_entry(&[b"/sys/class/block"], &mut |name| {
            // Eight of them come with the driver, and none can be it.
            if name.starts_with(b"loop") {
                return;
            }
            let (mut line, mut fields) = (Line::new(), [0; 512]);
            push(&mut line, b"block device: ");
            push(
                &mut line,
                contents(&[b"/sys/class/block/", name, b"/uevent"], &mut fields),
            );
            for byte in &mut line {
                if *byte == b'\n' {
                    *byte = b' ';
                }
            }
            say(&line);
        });
    }
}
