//! What was seen and what became of it: for the person who reads the log after a failure, and for stage 2.

use crate::boot::Boot;
use crate::journal::Log;
use crate::stage::device;
use crate::sys::files::{contents, make_directory, open};
use rustix::fs::OFlags;
use toehold::format::gpt::Table;
use toehold::format::plan::Module;
use toehold::format::uevent::{Key, is, value};
use toehold::schedule::State;
use toehold::text::{Line, decimal, fill, push_number};

/// Major number of loop devices.
const LOOP: &[u8] = b"7";

impl Boot {
    /// Leaves the report for stage 2, in the directory that the timeline goes to as well.
    pub fn leave_report(&self) {
        let _ = make_directory(c"/run/toehold");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        if let Ok(file) = open(c"/run/toehold/report", flags) {
            self.report(
                &Log {
                    file,
                    prefix: Some(b""),
                },
                true,
            );
            file.close();
        }
    }

    /// Says how the modules stand that were asked for (unless `all`, only those that are not loaded), and which block devices
    /// there are, as the kernel describes them.
    #[inline(never)]
    pub fn report(&self, log: &Log, all: bool) {
        for module in self.plan.modules() {
            let state = self.schedule.state(module.number);
            if state != State::UNASKED && (all || state != State::LOADED) {
                self.tell(log, &module);
            }
        }
        let mut last = Table::NONE;
        device::each(&mut |event| {
            // Eight of them come with the driver, and none can be it.
            if is(event, Key::MAJOR, LOOP) {
                return;
            }
            let mut fields = Line::new();
            let sectors = decimal(contents(
                &mut fields,
                b"/sys%/size",
                &[value(event, Key::DEVPATH)],
            ));
            let (mut size, mut fields) = (Line::new(), Line::new());
            push_number(&mut size, sectors.unwrap_or(0) << 9);
            fill(&mut fields, b"%\nSIZE=%", &[event, &size]);
            device::describe_partition(&mut last, event, 0, &mut fields);
            device::describe(event, &mut fields);
            for byte in &mut fields {
                if *byte == b'\n' {
                    *byte = b' ';
                }
            }
            log.error(b"block device: %", &[&fields]);
        });
    }

    /// Says how one module stands.
    pub fn tell(&self, log: &Log, module: &Module) {
        let mut state = Line::new();
        self.schedule.state(module.number).push(&mut state);
        log.error(b"module %: %", &[module.name, &state]);
    }
}
