//! Stage 7: everything moved over, the initramfs emptied, and the program of stage 2 executed.

use super::stage2::ROOT;
use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{
    File, each_entry_of, make_directory, open, open_at, remove_at, rename, write_file,
};
use crate::sys::memory::{keep, keep_numbered, keep_one};
use crate::sys::mounts::*;
use crate::sys::process;
use core::ffi::CStr;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use toehold::failure::Step;
use toehold::format::plan::Key;
use toehold::text::{item, split, word};

/// What is taken over stays here.
const CARRIED: &CStr = c"/carried";
const CARRIED_NAME: &CStr = c"carried";

/// statfs(2): what an initramfs can be.
const RAMFS: u32 = 0x8584_58F6;
const TMPFS: u32 = 0x0102_1994;

#[inline(never)]
pub fn run(boot: &mut Boot) -> Call {
    let program = boot.program();
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
    if boot.plan.setting(Key::Image).is_some() {
        move_over(boot, boot.setting(Key::Mountpoint))?;
    }
    if boot.is_netboot() {
        carry(boot)?;
    }
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
    let target = make_place(boot, directory)?;
    make_directory(target)?;
    move_mount(keep_one(directory), target)
}

/// Makes the directories in the new root that lead to this path. Returns where it will be.
fn make_place(boot: &mut Boot, path: &'static [u8]) -> Call<&'static CStr> {
    boot.subject = Some(path);
    let mut rest = path;
    while let [_, tail @ ..] = rest {
        rest = tail;
        if let [b'/', ..] = rest {
            let parent = path.get(..path.len() - rest.len()).unwrap_or_default();
            make_directory(keep(b"/stage2/root%", &[parent]))?;
        }
    }
    Ok(keep(b"/stage2/root%", &[path]))
}

/// Takes over what the profile wants of the initramfs. It stays where it is in memory, and is mounted where it is to be seen.
fn carry(boot: &mut Boot) -> Call {
    make_directory(CARRIED)?;
    let list = boot.setting(Key::Carry);
    for (number, names) in split(list, b' ').enumerate() {
        let kept = keep_numbered(b"/carried/%", number);
        let mut is_directory = true;
        for name in split(names, b',') {
            // An empty directory gives way.
            if is_directory && rename(keep_one(name), kept).is_ok() {
                is_directory = open(kept, OFlags::PATH | OFlags::DIRECTORY).is_ok();
            }
        }
        let target = make_place(boot, item(names, b',', 0))?;
        if is_directory {
            make_directory(target)?;
        } else {
            write_file(target, b"")?;
        }
        bind_mount(kept, target)?;
    }
    Ok(())
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
        if name == CARRIED_NAME {
            return;
        }
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
