//! What was seen and what became of it: for the person who reads the log after a failure, and for stage 2.

use crate::boot::Boot;
use crate::journal::Log;
use crate::stage::device;
use crate::sys::clock;
use crate::sys::files::{contents, each_entry, make_directory, open};
use crate::sys::kernel_log;
use rustix::fs::OFlags;
use toehold::failure::Stage;
use toehold::format::gpt::Table;
use toehold::format::plan::{Key as Setting, Module};
use toehold::format::uevent::{Key, is, value};
use toehold::options::AWAITED;
use toehold::schedule::State;
use toehold::text::{Line, decimal, fill, push_number, split};

/// Major number of loop devices.
const LOOP: &[u8] = b"7";

/// How many of the kernel's errors are told.
const ERRORS: usize = 5;

/// Says the last `count` lines of the kernel's log, or those of them that are errors of the kernel itself.
pub fn say_kernel_log(log: &Log, only_errors: bool, count: usize) {
    // Facility 0 is the kernel's own, and below level 4 are errors.
    // Each line begins with its priority, `<3>`, as `dmesg --raw` shows it.
    let limit = if only_errors { b'4' } else { u8::MAX };
    let mut buffer = kernel_log::BUFFER;
    let text = kernel_log::read(&mut buffer);
    let mut skip = usize::MAX;
    for _ in 0..2 {
        let mut place = 0;
        for line in split(text, b'\n') {
            if let [b'<', level, end, ..] = line
                && *level < limit
                && (*end == b'>' || !only_errors)
            {
                if place >= skip {
                    log.error(b"kernel: %", &[line]);
                }
                place += 1;
            }
        }
        skip = place.saturating_sub(count);
    }
}

impl Boot {
    /// Leaves the report for stage 2 or for a shell, in the directory that the timeline goes to as well.
    pub fn leave_report(&self, all: bool) {
        let _ = make_directory(c"/run/toehold");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        if let Ok(file) = open(c"/run/toehold/report", flags) {
            self.report(
                &Log {
                    file,
                    prefix: Some(b""),
                },
                all,
            );
            file.close();
        }
    }

    /// Says how it stands; unless `all`, after a failure: what is loaded is not told, but what may be missing. What can be the cause comes first.
    #[inline(never)]
    pub fn report(&self, log: &Log, all: bool) {
        let mut text = Line::new();
        let running = contents(&mut text, b"/proc/sys/kernel/osrelease", &[]);
        log.error(
            b"kernel %, plan %",
            &[running, self.plan.text(Setting::Release)],
        );
        // The kernel's own words say why it refused something; before that, what is seen says more than old errors.
        let refused = self.stage as u8 > Stage::Device as u8;
        if !all {
            if refused {
                say_kernel_log(log, true, ERRORS);
            }
            self.report_hardware(log);
        }
        self.report_modules(log, all);
        self.report_devices(log);
        for &role in &AWAITED {
            let wanted = &self.options.spec(role).text;
            if let Some(found) = self.options.target.devices.get(role as usize)
                && !wanted.is_empty()
            {
                log.error(b"wanted: %: %", &[wanted, value(found, Key::DEVNAME)]);
            }
        }
        if !all && !refused {
            say_kernel_log(log, true, ERRORS);
        }
    }

    /// Says what hardware waits for a driver that the kernel has and the initrd has not.
    fn report_hardware(&self, log: &Log) {
        let mut told = usize::MAX;
        each_entry(b"/sys/bus", &[], &mut |bus| {
            each_entry(b"/sys/bus/%/devices", &[bus], &mut |device| {
                let mut event = Line::new();
                let _ = contents(&mut event, b"/sys/bus/%/devices/%/uevent", &[bus, device]);
                let modalias = value(&event, Key::MODALIAS);
                if value(&event, Key::DRIVER).is_empty() {
                    self.plan.lookup(modalias, &mut |index| {
                        // Once for many of the same kind.
                        if self.schedule.state(index) == State::ABSENT && told != index {
                            told = index;
                            log.error(b"no driver for %", &[modalias]);
                            self.tell_of(log, index);
                        }
                    });
                }
            });
        });
    }

    /// Says how the modules stand that were asked for; unless `all`, only those that are not loaded.
    pub fn report_modules(&self, log: &Log, all: bool) {
        for module in self.plan.modules() {
            let state = self.schedule.state(module.number);
            if !matches!(state, State::UNASKED | State::ABSENT) && (all || state != State::LOADED) {
                self.tell(log, &module);
            }
        }
    }

    /// Says which block devices there are, how large (in bytes), and what they are called.
    pub fn report_devices(&self, log: &Log) {
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
            let parts = [
                value(event, Key::DEVNAME),
                value(event, Key::MAJOR),
                value(event, Key::MINOR),
                &size,
            ];
            fill(&mut fields, b"% %:% SIZE=%", &parts);
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

    /// Says how the module with this number stands.
    pub fn tell_of(&self, log: &Log, index: usize) {
        for module in self.plan.modules() {
            if module.number == index {
                self.tell(log, &module);
            }
        }
    }

    /// Says how one module stands.
    fn tell(&self, log: &Log, module: &Module) {
        let (mut text, mut age) = (Line::new(), Line::new());
        let state = self.schedule.state(module.number);
        state.push(&mut text);
        push_number(&mut age, self.schedule.age(module.number, clock::now()));
        let template: &[u8] = if matches!(state, State::LOADING | State::SLOW) {
            b"module %: % (% s)"
        } else {
            b"module %: %"
        };
        log.error(template, &[module.name, &text, &age]);
    }
}
