//! The devices that answer, in the order in which they are to be tried.

use super::{Device, answers, each};
use crate::boot::Boot;
use crate::sys::files::contents;
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::format::uevent::{NONE, number};
use toehold::options::Role;
use toehold::text::{Line, push};

const VARIABLES: &CStr = c"/sys/firmware/efi/efivars";

/// The device for `role` that comes next after the one with rank `after` (0: the first), and its rank: those on `disk` first,
/// then by the sequence numbers of their disks, then as their disk numbers them.
///
/// Nothing is kept of them, so that a disk made to confuse cannot fill anything up.
pub fn next(boot: &mut Boot, role: Role, disk: u64, after: u64) -> Option<(u64, Device)> {
    let mut best = None;
    let mut last = (NONE, super::Table::NONE);
    each(&mut |path, event| {
        let far = number(event, b"DISKSEQ") != disk;
        // A minor number has 20 bits; a sequence number counts the disks since the start of the machine.
        let order = number(event, b"DISKSEQ") << 20 | number(event, b"MINOR") & 0xF_FFFF;
        let rank = u64::from(far) << 63 | order & u64::MAX >> 1;
        let better = best.is_none_or(|(lowest, _)| rank < lowest);
        if rank > after && better && answers(&boot.options, &mut last, role, path, event) {
            best = Some((rank, Device::of(event)));
        }
    });
    best
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
    next(boot, Role::Loader, NONE, 0).map_or(NONE, |(_, device)| device.disk)
}
