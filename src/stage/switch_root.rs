//! Stage 7: everything moved over, the initramfs emptied, and the program of stage 2 executed.

use crate::machine::outcome::{About, During, Outcome};
use crate::machine::{Machine, modules};
use crate::sys::call::Result as Call;
use crate::sys::files::{
    File, each_entry_of, make_directory, open, open_at, remove_at, rename, write_file,
};
use crate::sys::memory::{intern, intern_format, intern_numbered};
use crate::sys::mounts::*;
use crate::sys::process;
use core::ffi::CStr;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use toehold::asked::Word;
use toehold::failure::Step;
use toehold::format::plan::Key;
use toehold::shared::{STAGE2_ROOT, STAGE2_ROOT_FILE};
use toehold::text::{item, split};

/// Where in the initramfs the files are moved that stage 2 gets: this folder is not emptied.
const CARRIED: &CStr = c"/carried";
const CARRIED_NAME: &CStr = c"carried";

/// The filesystems that an initramfs can be, as statfs(2) numbers them.
const RAMFS: u32 = 0x8584_58F6;
const TMPFS: u32 = 0x0102_1994;

pub fn run(machine: &mut Machine) -> Outcome {
    let program = program(machine);
    // Looked for before any mount is moved, while a person can still be asked. A symbolic link
    // counts as it is: where it leads shows in the new root only.
    let path = intern_format(STAGE2_ROOT_FILE, &[program]);
    open(path, OFlags::PATH | OFlags::NOFOLLOW)
        .during(Step::Exec)
        .about(program)?;

    let template: &[u8] = match machine.plan.setting(Key::Image) {
        Some(_) => b"/dev /proc /sys /run %",
        None => b"/dev /proc /sys /run",
    };
    let places = intern_format(template, &[machine.plan.text(Key::Mountpoint)]).to_bytes();
    modules::await_always(machine);
    // Whatever can fail comes before the first move: a person can still be asked then.
    for place in split(places, b' ') {
        make_place(place)
            .and_then(make_directory)
            .during(Step::Move)
            .about(place)?;
    }
    if machine.request.is_netboot() {
        carry(machine.plan.text(Key::Carry))?;
    }
    for place in split(places, b' ') {
        let target = intern_format(STAGE2_ROOT_FILE, &[place]);
        move_mount(intern(place), target)
            .during(Step::Move)
            .about(place)?;
    }
    let old = initramfs();
    change_root_to(STAGE2_ROOT)
        .during(Step::Chroot)
        .about(STAGE2_ROOT.to_bytes())?;
    if let Some((root, device)) = old {
        // In a child, so that the boot does not wait for it. If there can be no child, memory is
        // lost and nothing else.
        let _ = process::spawn(|| {
            empty(root, device);
            0
        });
    }
    Ok(())
}

/// The program that the new root is started with.
pub fn program(machine: &Machine) -> &'static [u8] {
    match machine.request.asked.value(Word::Init) {
        [] => machine.plan.text(Key::Init),
        given => given,
    }
}

/// Makes the directories in the new root that lead to this path. Returns where it will be.
fn make_place(path: &'static [u8]) -> Call<&'static CStr> {
    let mut rest = path;
    while let [_, tail @ ..] = rest {
        rest = tail;
        if let [b'/', ..] = rest {
            let parent = path.get(..path.len() - rest.len()).unwrap_or_default();
            make_directory(intern_format(STAGE2_ROOT_FILE, &[parent]))?;
        }
    }
    Ok(intern_format(STAGE2_ROOT_FILE, &[path]))
}

/// Takes over what the profile wants of the initramfs. It stays where it is in memory, and is
/// mounted where it is to be seen.
fn carry(list: &'static [u8]) -> Outcome {
    make_directory(CARRIED)
        .during(Step::Move)
        .about(CARRIED.to_bytes())?;
    for (number, names) in split(list, b' ').enumerate() {
        carry_one(number, names)
            .during(Step::Move)
            .about(item(names, b',', 0))?;
    }
    Ok(())
}

/// Takes over the first of these names that is there. In the new root it is found by the first of
/// the names.
fn carry_one(number: usize, names: &'static [u8]) -> Call {
    let carried = intern_numbered(b"/carried/%", number);
    let mut is_directory = true;
    for name in split(names, b',') {
        // Where one of them is an empty directory the next one takes its place.
        if is_directory && rename(intern(name), carried).is_ok() {
            is_directory = open(carried, OFlags::PATH | OFlags::DIRECTORY).is_ok();
        }
    }
    let target = make_place(item(names, b',', 0))?;
    if is_directory {
        make_directory(target)?;
    } else {
        write_file(target, b"")?;
    }
    bind_mount(carried, target)
}

fn change_root_to(root: &CStr) -> Call {
    change_directory(root)?;
    change_root_here()?;
    change_directory(c"/")
}

/// pivot_root works from the initramfs since Linux 7.0; before, the new root is moved over the old
/// one.
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
