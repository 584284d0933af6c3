//! Stage 4: the verity device: made, proven on one block, and only then armed.

mod candidates;
mod lay_out;
mod mapper;

use super::device;
use crate::machine::outcome::{About, During, Outcome, about, describe, refused};
use crate::machine::{Machine, devices, events, modules};
use crate::sys::block::probe;
use crate::sys::call::Result as Call;
use crate::sys::files::{make_directory, symlink, write_file};
use crate::sys::memory::{intern_format, intern_numbered};
use core::ffi::CStr;
use devices::node;
use lay_out::lay_out;
use mapper::Mapper;
pub use mapper::remove;
use rustix::io::Errno;
use toehold::failure::{Failure, Step};
use toehold::format::dm::Command;
use toehold::format::plan::Key;
use toehold::format::uevent::{Key as Field, number};
use toehold::format::verity::{Layout, Parameter};
use toehold::request::Role;
use toehold::text::Line;

/// The version of the kernel's target since which it can act on I/O errors.
const ACTS_ON_ERRORS: u64 = 1 << 32 | 10;

#[inline(never)] // size: inline
pub fn run(machine: &mut Machine) -> Outcome {
    if machine.request.is_netboot() {
        return Ok(());
    }
    let Some(root_hash) = machine.request.root_hash else {
        let device = devices::usr(machine);
        let text = b"% is used unverified";
        machine.log.error(text, &[device.to_bytes()]);
        return Ok(());
    };
    modules::require(machine, b"dm-verity")?;
    let name = machine.plan.text(Key::VerityName);
    let control = mapper::open_control().during(Step::Control);
    let mut mapper = Mapper::new(control.about(mapper::CONTROL.to_bytes())?, name);
    let mut layout = Layout::new(machine.request.parameters, root_hash);
    leave_out_unsupported(machine, &mut mapper, &mut layout);
    loop {
        // What was found may have gone in the meantime, and come back.
        device::run(machine)?;
        let matches = machine.found.matches;
        let Err(failure) = try_all(machine, &mut mapper, &mut layout) else {
            return Ok(());
        };
        // Another device may match as soon as its driver is there.
        events::finish(machine);
        machine.found.forget();
        devices::scan(machine);
        devices::await_answers(machine);
        if machine.found.matches == matches && machine.found.lacks(&machine.request).is_none() {
            return Err(failure);
        }
    }
}

/// Leaves out what is to be done about I/O errors where this kernel would refuse that.
fn leave_out_unsupported(machine: &Machine, mapper: &mut Mapper, layout: &mut Layout) {
    if let Some(policy) = layout.parameters.get(Parameter::OnError)
        && mapper.verity_version() < ACTS_ON_ERRORS
    {
        layout.parameters.remove(Parameter::OnError);
        let text = b"%: not in this kernel, left out";
        machine.log.error(text, &[policy]);
    }
}

/// Tries the devices that match, one set after the other, until one is verified.
fn try_all(machine: &mut Machine, mapper: &mut Mapper, layout: &mut Layout) -> Outcome {
    if !machine.found.ambiguous {
        return try_one(machine, mapper, layout);
    }
    let has_tree = !machine.request.spec(Role::Tree).text.is_empty();
    let loader = candidates::loader_disk(machine);
    let none = &machine.request.spec(Role::Data).text;
    let (mut last, mut data_rank) = (about(refused(Step::Open), none), 0);
    while candidates::next(machine, Role::Data, loader, &mut data_rank) {
        let [data, ..] = &machine.found.devices;
        let disk = number(data, Field::DISKSEQ);
        candidates::next(machine, Role::Correction, disk, &mut 0);
        let mut tree_rank = 0;
        while candidates::next(machine, Role::Tree, disk, &mut tree_rank) || !has_tree {
            let Err(failure) = try_one(machine, mapper, layout) else {
                let why: &[u8] = if disk == loader {
                    b"boot loader's disk"
                } else {
                    b"first to verify"
                };
                let [data, ..] = &machine.found.devices;
                let text = b"several devices answer: % taken (%)";
                machine.log.error(text, &[node(data).to_bytes(), why]);
                return Ok(());
            };
            let mut line = Line::new();
            describe(failure, &mut line);
            machine.log.error(b"not taken: %", &[&line]);
            last = failure;
            if !has_tree {
                break;
            }
        }
    }
    Err(last)
}

/// Makes the verity device of one set of devices.
fn try_one(machine: &mut Machine, mapper: &mut Mapper, layout: &mut Layout) -> Outcome {
    let [data, tree, ..] = &machine.found.devices;
    let has_own_tree = !tree.is_empty();
    let tree = node(if has_own_tree { tree } else { data });
    let data = node(data);
    let laid_out = lay_out(machine, layout, tree, data, has_own_tree);
    let result = laid_out.and_then(|()| {
        let made = activate(machine, mapper, layout, data);
        if made.is_err() {
            // Leave nothing half made behind.
            let _ = mapper.request(Command::Remove);
        }
        made
    });
    result.about(data.to_bytes())
}

/// Loads the table and makes it the live one.
fn set_table(machine: &Machine, mapper: &mut Mapper, layout: &Layout, armed: bool) -> Outcome {
    let [devices @ .., _] = &machine.found.devices;
    if let Err(error) = mapper.load(layout, devices, armed) {
        let step = if error.is(Errno::NOENT) {
            Step::Algorithm
        } else if layout.is_signed {
            Step::Key
        } else {
            Step::Load
        };
        return Err(Failure::new(step, error));
    }
    // Suspend with no flag set is what resumes.
    mapper.request(Command::Suspend).during(Step::Resume)
}

/// Proves one block without a policy, so that a wrong root hash is an error to be told and not a
/// panic; then sets the policy, and makes the device known. `data` is the device with the data.
fn activate(machine: &mut Machine, mapper: &mut Mapper, layout: &Layout, data: &CStr) -> Outcome {
    let minor = mapper.create(layout).during(Step::Create)?;

    set_table(machine, mapper, layout, false)?;
    let block = layout.number(Parameter::DataBlockSize) as usize;
    let read = probe(intern_numbered(b"/dev/dm-%", minor), block);
    let valid = mapper.is_valid().during(Step::Probe)?;
    if let Err(error) = read {
        let step = if !valid {
            Step::Probe
        } else if probe(data, block).is_err() {
            // The data itself cannot be read: it was not the hash that failed.
            Step::Data
        } else {
            Step::Tree
        };
        return Err(Failure::new(step, error));
    }
    if !valid {
        return Err(refused(Step::Probe));
    }
    if layout.has_policy() {
        set_table(machine, mapper, layout, true)?;
    }
    let rule = machine.plan.text(Key::UdevRule);
    machine.verified = Some(make_known(mapper.name, minor, rule).during(Step::Node)?);
    Ok(())
}

/// Makes the node that udev itself would make, and leaves word for udev in stage 2: it ignores
/// device-mapper devices that it did not see made, but with the plan's rule it takes ours.
fn make_known(name: &[u8], minor: usize, rule: &[u8]) -> Call<&'static CStr> {
    let node = intern_format(b"/dev/mapper/%", &[name]);
    symlink(intern_numbered(b"../dm-%", minor), node)?;
    make_directory(c"/run/udev")?;
    make_directory(c"/run/udev/rules.d")?;
    write_file(c"/run/udev/rules.d/09-toehold.rules", rule)?;
    Ok(node)
}
