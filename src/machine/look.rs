//! What a child finds out about a block device. It may take for ever: the device's driver decides.

use super::Machine;
use super::identify::identify;
use crate::sys::call::Result as Call;
use crate::sys::files::{contents, open_formatted};
use crate::sys::log::Log;
use rustix::fs::OFlags;
use toehold::format::gpt::Table;
use toehold::format::uevent::{Key, is, value};
use toehold::spec::{Facts, Needs, Spec};
use toehold::text::{Line, decimal, push, push_format, push_number, replace};

/// Begins what is written to a `uevent` file to have the kernel send that uevent, with a field of
/// ours.
///
/// Source: the kernel's Documentation/ABI/testing/sysfs-uevent.
const TELL: &[u8] = b"add 00000000-0000-0000-0000-000000000000 ROLE=";

/// Compares a device with all that is looked for. For each role that it is the one for, the init
/// gets a uevent of it that says so: from the kernel, in order with all others, and not of a device
/// that has gone meanwhile.
pub fn answer(machine: &mut Machine, event: &Line) -> Call {
    let path = [value(event, Key::DEVPATH)];
    let teller = open_formatted(b"/sys%/uevent", &path, OFlags::WRONLY)?;
    // Where one child hangs no others need to.
    teller.try_lock()?;
    if is(event, Key::PARTN, b"") {
        let table = &mut machine.table;
        identify(table, Needs::Partitions, &mut Facts::of(event));
        if table.from_backup {
            let text = b"/dev/%: primary GPT damaged, backup used: repair it with gdisk";
            machine.log.error(text, &[value(event, Key::DEVNAME)]);
        }
    }
    for (role, spec) in machine.request.specs().iter().enumerate() {
        if matches(spec, &mut machine.table, event) {
            let mut text = Line::new();
            push(&mut text, TELL);
            push_number(&mut text, role as u64);
            teller.write(&text)?;
        }
    }
    Ok(())
}

/// Whether a block device is the one that is meant. No more of it is read than this takes.
#[inline(never)] // size: inline
fn matches(spec: &Spec, table: &mut Table, event: &Line) -> bool {
    let mut facts = Facts::of(event);
    let needs = spec.needs(event);
    if needs != Needs::Nothing {
        identify(table, needs, &mut facts);
    }
    spec.matches(needs, &facts)
}

/// Writes which block device it is, how large (in bytes), and, with `has_names`, what it is called,
/// which has to be read from it.
#[inline(never)] // size: inline
pub fn describe(table: &mut Table, log: &Log, event: &Line, has_names: bool) {
    let mut facts = Facts::of(event);
    let path = [value(event, Key::DEVPATH)];
    let sectors = decimal(contents(&mut facts.read, b"/sys%/size", &path));
    let parts = [
        value(event, Key::DEVNAME),
        value(event, Key::MAJOR),
        value(event, Key::MINOR),
    ];
    facts.read.clear();
    push_format(&mut facts.read, b"% %:% SIZE=", &parts);
    push_number(&mut facts.read, sectors.unwrap_or(0) << 9);
    if has_names {
        identify(table, Needs::Partition { shift: 0 }, &mut facts);
        identify(table, Needs::Superblock, &mut facts);
    }
    replace(&mut facts.read, b'\n', b' ');
    log.error(b"block device: %", &[&facts.read]);
}
