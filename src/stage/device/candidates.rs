//! The devices that answer, in the order in which they are to be tried.

use super::{answers, each};
use crate::boot::Boot;
use crate::sys::files::contents;
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::format::uevent::{Key, NONE, number};
use toehold::options::Role;
use toehold::text::{Line, push};

const VARIABLES: &CStr = c"/sys/firmware/efi/efivars";

/// Finds the device for `role` that comes next behind the one with rank `last` (0: the first), whose place its own rank takes: those on
/// `disk` first, then by the sequence numbers of their disks, then as their disks number them. It becomes the target's; `false` if there
/// is none.
///
/// Nothing is kept of the others, so that a disk made to confuse cannot fill anything up.
pub fn next(boot: &mut Boot, role: Role, disk: u64, last: &mut u64) -> bool {
    let mut lowest = u64::MAX;
    each(&mut |event| {
        let sequence = number(event, Key::DISKSEQ);
        // A minor number has 20 bits; a sequence number counts the disks since the start of the machine.
        let order = (sequence << 20 | number(event, Key::MINOR) & 0xF_FFFF) & u64::MAX >> 1;
        let rank = u64::from(sequence != disk) << 63 | order;
        if rank > *last && rank < lowest && answers(boot, role, event) {
            lowest = rank;
            boot.options.target.set_device(role as usize, event);
        }
    });
    *last = lowest;
    lowest != u64::MAX
}

/// The sequence number of the disk that the EFI boot loader was started from, if it left word of that.
///
/// Source: systemd's Boot Loader Interface.
pub fn loader_disk(boot: &mut Boot) -> u64 {
    // Where the initrd lacks it, or there is no EFI, the mount fails.
    let _ = boot.require_filesystem(b"efivarfs");
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
    if boot.options.read_spec(Role::Loader, &text).is_none() {
        return NONE;
    }
    next(boot, Role::Loader, NONE, &mut 0);
    let [.., device] = &boot.options.target.devices;
    number(device, Key::DISKSEQ)
}
