//! Stage 7: everything moved over, the initramfs emptied, and the program of stage 2 executed.

use super::stage2::ROOT;
use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{File, each_entry_of, make_directory, open, open_at, remove_at};
use crate::sys::memory::{keep, keep_one};
use crate::sys::mounts::*;
use crate::sys::process;
use core::ffi::CStr;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use toehold::failure::Step;
use toehold::format::plan::Key;
use toehold::text::word;

/// statfs(2): what an initramfs can be.
const RAMFS: u32 = 0x8584_58F6;
const TMPFS: u32 = 0x0102_1994;

#[inline(never)]
pub fn run(boot: &mut Boot) -> Call {
    let program = boot.setting(Key::Init);
    boot.subject = Some(program);
    boot.step = Step::Exec;
    // Seen before anything is given up. A link is good: it may lead somewhere in the new root only.
    open(
        keep(b"/stage2/root%", &[program]),
        OFlags::PATH | OFlags::NOFOLLOW,
    )?;

    boot.step = Step::Move;
    for index in 0..4 {
        move_over(boot, word(b"/dev /proc /sys /run", index))?;
    }
    move_over(boot, boot.setting(Key::Mountpoint))?;
    boot.subject = Some(ROOT.to_bytes());
    let old = initramfs();
    boot.step = Step::Chroot;
    change_directory(ROOT)?;
    change_root_here()?;
    change_directory(c"/")?;
    if let Some((root, device)) = old {
        // Beside the boot, not before it. That it cannot be done costs memory only.
        let _ = process::spawn(|| {
            empty(root, device);
            0
        });
    }
    Ok(())
}

/// Moves a mount to the same place in the new root, whose directories are made as needed.
#[inline(never)] // 30 bytes less.
fn move_over(boot: &mut Boot, directory: &'static [u8]) -> Call {
    boot.subject = Some(directory);
    let mut rest = directory;
    while let [_, tail @ ..] = rest {
        rest = tail;
        if matches!(rest, [] | [b'/', ..]) {
            let path = directory
                .get(..directory.len() - rest.len())
                .unwrap_or_default();
            make_directory(keep(b"/stage2/root%", &[path]))?;
        }
    }
    move_mount(keep_one(directory), keep(b"/stage2/root%", &[directory]))
}

/// pivot_root works from the initramfs since Linux 7.0; before, the new root is moved over the old one.
fn change_root_here() -> Call {
    if pivot_root_here().is_ok() {
        return detach(c".");
    }
    move_mount(c".", c"/")?;
    change_root(c".")
}

/// The root directory and its device, where that is what the kernel unpacked.
fn initramfs() -> Option<(File, u64)> {
    if !matches!(filesystem_magic(), Ok(RAMFS | TMPFS)) {
        return None;
    }
    let root = open(c"/", OFlags::RDONLY).ok()?;
    Some((root, root.status().ok()?.device))
}

/// Deletes everything: its memory is free from then on. Other filesystems are not entered.
fn empty(directory: File, device: u64) {
    each_entry_of(directory, &mut |name: &CStr| {
        if !remove_at(directory, name, AtFlags::empty()).is_err_and(|error| error.is(Errno::ISDIR))
        {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        if let Ok(below) = open_at(directory, name, flags)
            && below.status().is_ok_and(|status| status.device == device)
        {
            empty(below, device);
            below.close();
            let _ = remove_at(directory, name, AtFlags::REMOVEDIR);
        }
    });
}
