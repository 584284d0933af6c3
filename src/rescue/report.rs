//! What was seen and what became of it: for the person who reads the log after a failure, and for
//! stage 2.

use crate::machine::{Machine, devices, look::describe, modules::*};
use crate::sys;
use crate::sys::files::{contents, each_entry, make_directory, open};
use crate::sys::log::Log;
use rustix::fs::OFlags;
use toehold::format::plan::Key as Setting;
use toehold::format::uevent::{Key, is, value};
use toehold::schedule::State;
use toehold::text::{Line, after, split};

/// Who a report is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Stage 2, after a boot that succeeded: every module that was asked for.
    Stage2,
    /// A person, after a failure: what is loaded is left out, but not what may be missing. The
    /// kernel's own words come last.
    Person,
    /// The same where the kernel has refused something: its words say why, and come first.
    PersonRefused,
}

impl Reader {
    /// A person. Has the kernel refused something? Before devices are used what is seen says more
    /// than its old errors.
    pub fn person(is_refused: bool) -> Self {
        if is_refused {
            Self::PersonRefused
        } else {
            Self::Person
        }
    }
}

/// Major number of loop devices.
const LOOP: &[u8] = b"7";

/// How many of the kernel's errors are reported.
const ERRORS: usize = 5;

/// Writes the last `count` lines of the kernel's log, or those of them that are errors of the
/// kernel itself.
pub fn kernel_log(log: &Log, only_errors: bool, count: usize) {
    // Each line begins with its priority, as `<3>`: levels below 4 are errors. A priority of one
    // digit is of facility 0, the kernel's own messages.
    let limit = if only_errors { b'4' } else { u8::MAX };
    let mut buffer = sys::kernel_log::BUFFER;
    let text = sys::kernel_log::read(&mut buffer);
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

/// Leaves the report for stage 2 or for a shell, in the directory that the timeline goes to as
/// well.
pub fn leave(machine: &mut Machine, reader: Reader) {
    let _ = make_directory(c"/run/toehold");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    if let Ok(file) = open(c"/run/toehold/report", flags) {
        write(machine, &Log::plain(file), reader);
        file.close();
    }
}

/// Writes how it stands. What can be the cause comes first.
pub fn write(machine: &mut Machine, log: &Log, reader: Reader) {
    let mut text = Line::new();
    let running = contents(&mut text, b"/proc/sys/kernel/osrelease", &[]);
    let planned = machine.plan.text(Setting::Release);
    log.error(b"kernel %, plan %", &[running, planned]);
    if reader == Reader::PersonRefused {
        kernel_log(log, true, ERRORS);
    }
    if reader != Reader::Stage2 {
        hardware(machine, log);
    }
    modules(machine, log, reader);
    devices(machine, log, reader);
    // The verity device stands for what it was made of.
    let mut verified = machine.verified.map(|node| node.to_bytes());
    for (spec, found) in machine.request.specs().iter().zip(&machine.found.devices) {
        let wanted = &spec.text;
        let verified = verified.take().and_then(|node| after(node, b"/dev/"));
        let found = verified.unwrap_or(value(found, Key::DEVNAME));
        if !wanted.is_empty() {
            log.error(b"wanted: %: %", &[wanted, found]);
        }
    }
    if reader == Reader::Person {
        kernel_log(log, true, ERRORS);
    }
}

/// Writes what hardware waits for a driver that the kernel has and the initrd has not.
fn hardware(machine: &Machine, log: &Log) {
    let mut last = usize::MAX;
    each_entry(b"/sys/bus", &[], &mut |bus| {
        each_entry(b"/sys/bus/%/devices", &[bus], &mut |device| {
            let mut event = Line::new();
            let _ = contents(&mut event, b"/sys/bus/%/devices/%/uevent", &[bus, device]);
            let modalias = value(&event, Key::MODALIAS);
            if value(&event, Key::DRIVER).is_empty() {
                machine.plan.lookup(modalias, &mut |index| {
                    // Several devices of one kind in a row need the same driver: it is named once.
                    if machine.schedule.state(index) == State::ABSENT && last != index {
                        last = index;
                        log.error(b"no driver for %", &[modalias]);
                        log_one(machine, log, index);
                    }
                });
            }
        });
    });
}

/// Writes how the modules stand that were asked for; for a person only those that are not loaded.
pub fn modules(machine: &Machine, log: &Log, reader: Reader) {
    for module in machine.plan.modules() {
        let state = machine.schedule.state(module.number);
        if !matches!(state, State::UNASKED | State::ABSENT)
            && (reader == Reader::Stage2 || state != State::LOADED)
        {
            log_state(machine, log, &module);
        }
    }
}

/// Writes which block devices there are, how large (in bytes), and, for a person, what they are
/// called. A child reads that, and is not waited for where a device does not answer.
pub fn devices(machine: &mut Machine, log: &Log, reader: Reader) {
    devices::each(&mut |event| {
        // The driver makes eight loop devices by itself, and none of them can be what is looked
        // for.
        if is(event, Key::MAJOR, LOOP) {
            return;
        }
        if reader == Reader::Stage2 {
            return describe(&mut machine.table, log, event, false);
        }
        devices::look(machine, event, Some(log));
        if !devices::await_answers(machine) {
            log.error(b"/dev/%: no answer", &[value(event, Key::DEVNAME)]);
        }
    });
}
