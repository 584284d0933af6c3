//! The devices that match, in the order in which they are to be tried.

use crate::machine::choice::Choice;
use crate::machine::modules::require_filesystem;
use crate::machine::{Machine, devices};
use crate::sys::files::contents;
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use core::mem;
use rustix::mount::MountFlags;
use toehold::format::uevent::{Key, NONE, number};
use toehold::request::{LOADER, Role};
use toehold::text::{Line, push};

const VARIABLES: &CStr = c"/sys/firmware/efi/efivars";

/// Finds the device for `role` that comes next behind the one with rank `last` (0: the first),
/// whose place its own rank takes; those on `disk` come first. `false` if there is none.
pub fn next(machine: &mut Machine, role: Role, disk: u64, last: &mut u64) -> bool {
    *last = choose(machine, role as u64, disk, *last);
    *last != u64::MAX
}

/// Has the choice made among all devices that are there. Returns its rank.
fn choose(machine: &mut Machine, role: u64, disk: u64, last: u64) -> u64 {
    machine.choice = Choice {
        role,
        disk,
        last,
        rank: u64::MAX,
    };
    devices::scan(machine);
    devices::await_answers(machine);
    // Who comes later does not take the place of a device that is in use.
    mem::take(&mut machine.choice.rank)
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
    if machine.request.look_for_loader(&text).is_none() {
        return NONE;
    }
    choose(machine, LOADER, NONE, 0);
    let [.., device] = &machine.found.devices;
    number(device, Key::DISKSEQ)
}
