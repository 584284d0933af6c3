//! The search for block devices: what is there, what comes and goes, and which of it is what the
//! boot is looking for.

use super::modules::match_modalias;
use super::outcome::{Outcome, about};
use super::{Machine, events, look};
use crate::sys::files::{NONE, contents, each_entry};
use crate::sys::log::Log;
use crate::sys::memory::intern_format;
use crate::sys::{clock, netlink, process};
use core::ffi::CStr;
use core::mem;
use rustix::io::Errno;
use toehold::failure::{Error, Failure, Stage, Step};
use toehold::format::uevent::{self, Key, is, is_same_device, number, value};
use toehold::request::{ROLES, Request, Role};
use toehold::text::{Line, push, push_format};

/// For how many microseconds the boot waits for the children that look at devices, once it has all
/// that it needs: another device may match as well. Most disks answer within twenty milliseconds.
const ANSWER: u64 = 200_000;

/// The devices that were found.
#[repr(C)]
pub struct Found {
    /// How many devices match what is looked for.
    pub matches: u32,
    /// More than one device matches in the same role.
    pub ambiguous: bool,
    /// The uevent of the device for each [`Role`], and of the boot loader's partition; empty until
    /// it is found.
    pub devices: [Line; ROLES.len() + 1],
}

impl Found {
    /// Nothing is found yet.
    pub const NONE: Self = Self {
        matches: 0,
        ambiguous: false,
        devices: [const { Line::new() }; ROLES.len() + 1],
    };

    /// Starts as if nothing had been found.
    pub fn forget(&mut self) {
        for device in &mut self.devices {
            device.clear();
        }
        self.matches = 0;
        self.ambiguous = false;
    }

    /// The role for which a device is looked for and has not been found.
    pub fn lacks(&self, request: &Request) -> Option<Role> {
        let mut all = ROLES.iter().zip(&self.devices).zip(request.specs());
        let lacking = all.find(|((_, found), spec)| found.is_empty() && !spec.text.is_empty());
        lacking.map(|((role, _), _)| *role)
    }
}

/// A device's node in /dev.
pub fn node(device: &Line) -> &'static CStr {
    intern_format(b"/dev/%", &[value(device, Key::DEVNAME)])
}

/// The node of what holds /usr: of the verity device where there is one, or else of the device that
/// was found.
pub fn usr(machine: &Machine) -> &'static CStr {
    let [data, ..] = &machine.found.devices;
    machine.verified.unwrap_or_else(|| node(data))
}

/// Refuses to go on when another device has come up that matches, too, and nothing can tell which
/// is the right one.
pub fn check_alone(machine: &mut Machine) -> Outcome {
    await_answers(machine);
    if machine.found.ambiguous && machine.request.root_hash.is_none() {
        let step = Step::Ambiguous;
        return Err(not_found(machine, Role::Data, step, Error::REFUSED));
    }
    Ok(())
}

/// The failure of the search for the device in this role.
#[inline(always)] // size: inline
pub fn not_found(machine: &Machine, role: Role, step: Step, error: Error) -> Failure {
    let failure = Failure::new(step, error).in_stage(Stage::Device);
    about(failure, &machine.request.spec(role).text)
}

/// Calls `visit` with what the kernel says of each block device that is there.
pub fn each(visit: &mut dyn FnMut(&Line)) {
    each_entry(b"/sys/class/block", &[], &mut |name| {
        let (mut event, mut fields) = (Line::new(), Line::new());
        let fields = contents(&mut fields, b"/sys/class/block/%/uevent", &[name]);
        push_format(&mut event, b"DEVPATH=/class/block/%\n%", &[name, fields]);
        visit(&event);
    });
}

/// Has every block device looked at that is there.
pub fn scan(machine: &mut Machine) {
    each(&mut |event| look(machine, event, None));
}

/// Has a child look at a block device: one that does not answer keeps nobody else waiting. What it
/// is goes to [`take`], or into a report.
pub fn look(machine: &mut Machine, event: &Line, report: Option<&Log>) {
    let child = process::spawn(|| {
        match report {
            Some(log) => look::describe(&mut machine.table, log, event, true),
            None => drop(look::answer(machine, event)),
        }
        0
    });
    machine.looking += usize::from(child.is_ok());
}

/// Waits until the children have looked at their devices, but for those that do not answer.
/// Returns whether there are none of these.
pub fn await_answers(machine: &mut Machine) -> bool {
    let deadline = clock::now() + ANSWER;
    while machine.looking != 0 && events::wait(machine, deadline).is_ok() {
        events::advance(machine);
    }
    // What a child has to say comes before its end, but maybe behind the last look.
    receive(machine);
    mem::take(&mut machine.looking) == 0
}

/// Takes every message about devices that has come so far.
pub fn receive(machine: &mut Machine) {
    let mut event = Line::new();
    loop {
        match netlink::receive(machine.uevents, &mut event) {
            Ok(()) => handle(machine, &event),
            Err(error) if error.is(Errno::NOBUFS) => machine.lost = true,
            Err(error) => {
                if !error.is(Errno::AGAIN) {
                    // Nothing comes from there any more. What is missed shows when everything is
                    // looked at again.
                    machine.uevents = NONE;
                }
                return;
            }
        }
    }
}

fn handle(machine: &mut Machine, event: &Line) {
    machine.moved = true;
    if !is(event, Key::SUBSYSTEM, b"block") {
        return match_modalias(machine, value(event, Key::MODALIAS));
    }
    if is(event, Key::ACTION, b"remove") {
        // What was found may be gone, or no longer the only one: all is looked at again.
        let mut found = machine.found.devices.iter();
        if found.any(|found| is_same_device(found, event)) {
            machine.found.forget();
            machine.lost = true;
        }
        return;
    }
    match number(event, Key::ROLE) {
        uevent::NONE => look(machine, event, None),
        role => take(machine, event, role),
    }
}

/// Takes in that a block device is the one for the role with this number.
fn take(machine: &mut Machine, event: &Line, role: u64) {
    let place = role as usize;
    let (Some(found), Some(spec)) = (
        machine.found.devices.get_mut(place),
        machine.request.specs().get(place),
    ) else {
        return;
    };
    machine.choice.consider(role, event, found);
    if found.is_empty() {
        push(found, event);
    } else if is_same_device(found, event) {
        return;
    } else {
        machine.found.ambiguous = true;
    }
    machine.found.matches += 1;
    let parts = [&spec.text, value(event, Key::DEVNAME)];
    machine.log.info(b"% is /dev/%", &parts);
    machine.schedule.only_needed |= machine.found.lacks(&machine.request).is_none();
}
