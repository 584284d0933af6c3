//! The search for block devices: what is there, what comes and goes, and which of it is what the
//! boot is looking for.

use super::Machine;
use super::identify::identify;
use super::modules::match_modalias;
use super::outcome::{Outcome, about};
use crate::sys::files::{NONE, contents, each_entry};
use crate::sys::memory::intern_format;
use crate::sys::netlink;
use core::ffi::CStr;
use rustix::io::Errno;
use toehold::failure::{Error, Failure, Stage, Step};
use toehold::format::gpt::Table;
use toehold::format::uevent::{Key, is, is_same_device, value};
use toehold::request::{ROLES, Request, Role};
use toehold::spec::{Facts, Needs, Spec};
use toehold::text::{Line, push, push_format};

/// The devices that were found.
#[repr(C)]
pub struct Found {
    /// How many devices match what is looked for.
    pub matches: u32,
    /// More than one device matches in the same role.
    pub ambiguous: bool,
    /// The uevent of the device for each [`Role`], empty until it is found.
    pub devices: [Line; ROLES.len()],
}

impl Found {
    /// Nothing is found yet.
    pub const NONE: Self = Self {
        matches: 0,
        ambiguous: false,
        devices: [const { Line::new() }; ROLES.len()],
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
        let lacks = |role: &&Role| {
            let found = self.devices.get(**role as usize);
            found.is_some_and(|found| found.is_empty()) && !request.spec(**role).text.is_empty()
        };
        ROLES.iter().find(lacks).copied()
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
    receive(machine);
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

/// Looks at every block device that is there.
pub fn scan(machine: &mut Machine) {
    each(&mut |event| consider(machine, event));
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
    if is(event, Key::ACTION, b"remove") {
        // What was found may be gone, or no longer the only one: all is looked at again. (Two
        // devices without a name are not the same device: what is not a block device has none.)
        let mut found = machine.found.devices.iter();
        if is(event, Key::SUBSYSTEM, b"block") && found.any(|found| is_same_device(found, event)) {
            machine.found.forget();
            machine.lost = true;
        }
        return;
    }
    machine.moved |= is(event, Key::ACTION, b"add");
    if is(event, Key::SUBSYSTEM, b"block") {
        // The disk may have got another table, or another medium.
        if is(event, Key::ACTION, b"change") {
            machine.table.disk = 0;
        }
        consider(machine, event);
    } else {
        match_modalias(machine, value(event, Key::MODALIAS));
    }
}

/// Compares one block device with what is looked for.
fn consider(machine: &mut Machine, event: &Line) {
    if is(event, Key::DEVTYPE, b"disk") {
        let table = &mut machine.table;
        if identify(table, Needs::Partitions, &mut Facts::of(event))
            && table.is_hidden()
            && table.from_backup
        {
            let text = b"/dev/%: primary GPT damaged, backup used: repair it with gdisk";
            machine.log.error(text, &[value(event, Key::DEVNAME)]);
        }
    }
    for &role in &ROLES {
        let spec = machine.request.spec(role);
        if !matches(spec, &mut machine.table, event) {
            continue;
        }
        let Some(found) = machine.found.devices.get_mut(role as usize) else {
            continue;
        };
        if found.is_empty() {
            push(found, event);
        } else if is_same_device(found, event) {
            continue;
        } else {
            machine.found.ambiguous = true;
        }
        machine.found.matches += 1;
        let parts = [&spec.text, value(event, Key::DEVNAME)];
        machine.log.info(b"% is /dev/%", &parts);
        machine.schedule.only_needed |= machine.found.lacks(&machine.request).is_none();
    }
}

/// Whether a block device is the one that is meant. No more of it is read than this takes.
pub fn matches(spec: &Spec, table: &mut Table, event: &Line) -> bool {
    let mut facts = Facts::of(event);
    let needs = spec.needs(event);
    if needs != Needs::Nothing {
        identify(table, needs, &mut facts);
    }
    spec.matches(&facts)
}
