//! Finding out how data and hash tree lie on their devices.

use crate::machine::Machine;
use crate::machine::outcome::{During, Outcome, refused};
use crate::sys::call::Result as Call;
use crate::sys::files::{self, File, open};
use crate::sys::keys;
use crate::sys::log::Log;
use core::ffi::CStr;
use rustix::fs::OFlags;
use toehold::failure::Step;
use toehold::format::filesystem;
use toehold::format::plan::Key;
use toehold::format::verity::{Layout, Parameter};
use toehold::text::Line;

/// Completes a layout. Both lie on the device `tree`, which is the same as `data`, or each on its
/// own.
pub fn lay_out(
    machine: &Machine,
    layout: &mut Layout,
    tree: &CStr,
    data: &CStr,
    has_own_tree: bool,
) -> Outcome {
    let disk = open(tree, OFlags::RDONLY).during(Step::Open)?;
    let result = read(machine, layout, disk, has_own_tree.then_some(data));
    disk.close();
    result
}

/// The same with the device of the tree opened; `data` is the data's where that is another one.
fn read(machine: &Machine, layout: &mut Layout, disk: File, data: Option<&CStr>) -> Outcome {
    let mut room = None;
    if let Some(data) = data {
        let device = open(data, OFlags::RDONLY).during(Step::Open)?;
        room = Some(device.geometry().1);
        device.close();
    }
    let given = layout.parameters.number(Parameter::HashOffset);
    let fixed = given.or(room.map(|_| 0));
    if fixed.is_none() {
        // A device that cannot be read is told from one without a filesystem.
        let first = &mut layout.superblock;
        disk.read_exact_at(0, first).during(Step::Data)?;
    }
    let log = &machine.log;
    let mut result = match fixed.or_else(|| filesystem::size(&disk)) {
        Some(offset) => read_superblock(log, layout, disk, offset),
        None => Err(refused(Step::Detect)),
    };
    if let Some(offset) = machine.plan.number(Key::HashOffsetFallback)
        && fixed.is_none()
        && result.is_err()
    {
        result = read_superblock(log, layout, disk, offset);
    }
    result?;
    // Data ends where the tree begins.
    let room = room.unwrap_or(layout.hash_offset);
    if !layout.measure(room) {
        return Err(refused(Step::Superblock));
    }
    layout.hash_device_size = disk.geometry().1;
    if let Some(path) = layout.parameters.get(Parameter::Signature) {
        add_key(path).during(Step::Key)?;
        layout.is_signed = true;
    }
    Ok(())
}

/// Gives the kernel the root hash's signature.
fn add_key(path: &[u8]) -> Call {
    let mut signature = Line::new();
    files::read(&mut signature, path, &[])?;
    keys::add(&signature)
}

/// Reads the superblock, where there is one, and brings it together with what was asked for.
fn read_superblock(log: &Log, layout: &mut Layout, disk: File, offset: u64) -> Outcome {
    layout.hash_offset = offset;
    if !layout.parameters.has_superblock() {
        return Ok(());
    }
    let superblock = &mut layout.superblock;
    disk.read_exact_at(offset, superblock)
        .during(Step::Superblock)?;
    let mut has = Line::new();
    let mut good = layout.is_superblock();
    if good && let Some((field, wanted)) = layout.contradiction(&mut has) {
        log.error(b"%: % in the superblock, % wanted", &[field, &has, wanted]);
        good = false;
    }
    if good {
        Ok(())
    } else {
        Err(refused(Step::Superblock))
    }
}
