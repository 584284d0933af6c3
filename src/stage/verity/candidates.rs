//! The devices that match, in the order in which they are to be tried.

use crate::machine::Machine;
use crate::machine::devices::{each, matches};
use crate::machine::modules::require_filesystem;
use crate::sys::files::contents;
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::format::gpt::Table;
use toehold::format::uevent::{Key, NONE, number};
use toehold::request::Role;
use toehold::spec::Spec;
use toehold::text::{Line, push};

const VARIABLES: &CStr = c"/sys/firmware/efi/efivars";

/// Finds the device for `role` that comes next behind the one with rank `last` (0: the first),
/// whose place its own rank takes: those on `disk` first, then by the sequence numbers of their
/// disks, then as their disks number them. `false` if there is none.
///
/// The others are not written down anywhere: a disk that is made to confuse could fill any list up.
#[inline(always)] // size: inline
pub fn next(machine: &mut Machine, role: Role, disk: u64, last: &mut u64) -> bool {
    let spec = machine.request.spec(role);
    let Some(device) = machine.found.devices.get_mut(role as usize) else {
        return false;
    };
    next_of(spec, &mut machine.table, disk, last, device)
}

/// The same for any SPEC; `device` becomes the device's uevent.
fn next_of(spec: &Spec, table: &mut Table, disk: u64, last: &mut u64, device: &mut Line) -> bool {
    let mut lowest = u64::MAX;
    each(&mut |event| {
        let sequence = number(event, Key::DISKSEQ);
        // A minor number has 20 bits; a sequence number counts the disks since the start of the
        // machine.
        let order = (sequence << 20 | number(event, Key::MINOR) & 0xF_FFFF) & u64::MAX >> 1;
        let rank = u64::from(sequence != disk) << 63 | order;
        if rank > *last && rank < lowest && matches(spec, table, event) {
            lowest = rank;
            device.clear();
            push(device, event);
        }
    });
    *last = lowest;
    lowest != u64::MAX
}

/// The sequence number of the disk that the EFI boot loader was started from, if it left word of
/// that.
///
/// Source: systemd's Boot Loader Interface.
pub fn loader_disk(machine: &mut Machine) -> u64 {
    // Where the initrd lacks it, or there is no EFI, the mount fails.
    let _ = require_filesystem(machine, b"efivarfs");
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount(c"efivarfs", VARIABLES, c"efivarfs", flags, c"").is_err() {
        return NONE;
    }
    let (mut variable, mut text) = (Line::new(), Line::new());
    let path =
        b"/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    // Four bytes of attributes, then UTF-16.
    let value = contents(&mut variable, path, &[])
        .get(4..)
        .unwrap_or_default();
    push(&mut text, b"PARTUUID=");
    for byte in value.iter().filter(|byte| **byte != 0) {
        push(&mut text, &[*byte]);
    }
    let _ = detach(VARIABLES);
    let loader = &mut machine.loader;
    if loader.read(&text).is_none() {
        return NONE;
    }
    variable.clear();
    let device = &mut variable;
    next_of(loader, &mut machine.table, NONE, &mut 0, device);
    number(device, Key::DISKSEQ)
}
