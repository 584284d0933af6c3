//! Stage 3: the block devices that /usr is on, found when they are there and awaited when they are not.

use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{self, File, contents, each_entry, open};
use crate::sys::memory::{fill, keep, keep_one};
use crate::sys::netlink::Uevents;
use crate::sys::partitions;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::{Error, Stage, Step};
use toehold::format::filesystem;
use toehold::format::gpt::Table;
use toehold::format::uevent::{Key, NONE, is, is_same_device, number, value};
use toehold::options::{AWAITED, Role};
use toehold::spec::Source;
use toehold::text::{self, Line};

pub mod candidates;

/// More partitions than the kernel shows of a disk.
const MAX_PARTITIONS: u32 = 256;

/// A device's node in /dev.
pub fn node(device: &Line) -> &'static CStr {
    keep(b"/dev/%", &[value(device, Key::DEVNAME)])
}

/// The search for devices, fed by sysfs and by uevents.
#[repr(C)]
pub struct Search {
    pub uevents: Uevents,
    /// How many answer.
    pub answers: u32,
    /// More than one device answers for the same role.
    pub ambiguous: bool,
    /// Messages were lost.
    pub lost: bool,
}

impl Search {
    /// Nothing is looked for.
    pub const NONE: Self = Self {
        uevents: Uevents(files::STDIN),
        answers: 0,
        ambiguous: false,
        lost: false,
    };
}

impl Boot {
    /// The node of the device that was found, which is worked on from now on.
    pub fn device(&mut self) -> &'static CStr {
        let [data, ..] = &self.options.target.devices;
        let node = node(data);
        self.subject = Some(node.to_bytes());
        node
    }

    /// Whether /usr is an image in the initramfs: no device is looked for.
    pub fn is_netboot(&self) -> bool {
        self.options.spec(Role::Data).text.is_empty()
    }

    /// A role for which no device has been found.
    pub fn lacks(&self) -> Option<Role> {
        let lacks = |role: &&Role| {
            let found = self.options.target.devices.get(**role as usize);
            found.is_some_and(|found| found.is_empty())
                && !self.options.spec(**role).text.is_empty()
        };
        AWAITED.iter().find(lacks).copied()
    }
}

/// Starts as if nothing had been found.
pub fn forget(boot: &mut Boot) {
    for device in &mut boot.options.target.devices {
        device.clear();
    }
    boot.search.answers = 0;
    boot.search.ambiguous = false;
}

/// Waits for the devices.
pub fn run(boot: &mut Boot) -> Call {
    let deadline = boot.deadline();
    loop {
        boot.advance();
        check_alone(boot)?;
        let Some(role) = boot.lacks() else {
            return Ok(());
        };
        if let Err(error) = boot.wait(deadline) {
            return fail(boot, role, Step::Wait, error);
        }
    }
}

/// Refuses to go on when another device has come up that answers, too, and nothing can tell which is the right one.
pub fn check_alone(boot: &mut Boot) -> Call {
    drain(boot);
    if boot.search.ambiguous && boot.options.target.root_hash.is_none() {
        return fail(boot, Role::Data, Step::Ambiguous, Error::REFUSED);
    }
    Ok(())
}

/// A failure that is about what was looked for.
fn fail(boot: &mut Boot, role: Role, step: Step, error: Error) -> Call {
    boot.stage = Stage::Device;
    boot.step = step;
    boot.subject = Some(keep_one(&boot.options.spec(role).text).to_bytes());
    Err(error)
}

/// Calls `visit` with what the kernel says of each block device that is there.
pub fn each(visit: &mut dyn FnMut(&Line)) {
    each_entry(b"/sys/class/block", &[], &mut |name| {
        let (mut event, mut fields) = (Line::new(), Line::new());
        let fields = contents(&mut fields, b"/sys/class/block/%/uevent", &[name]);
        text::fill(&mut event, b"DEVPATH=/class/block/%\n%", &[name, fields]);
        visit(&event);
    });
}

/// Looks at every block device that is there.
pub fn scan(boot: &mut Boot) {
    each(&mut |event| consider(boot, event));
}

/// Takes every message that has come so far.
pub fn drain(boot: &mut Boot) {
    let mut event = Line::new();
    loop {
        match boot.search.uevents.receive(&mut event) {
            Ok(()) => handle(boot, &event),
            Err(error) if error.is(Errno::NOBUFS) => boot.search.lost = true,
            Err(_) => return,
        }
    }
}

#[inline(never)] // Measured: smaller so.
fn handle(boot: &mut Boot, event: &Line) {
    if is(event, Key::ACTION, b"remove") {
        // What was found may be gone, or no longer the only one: all is looked at again.
        // (Others than block devices have no name, and neither has a device that nobody looks for.)
        let mut found = boot.options.target.devices.iter();
        if is(event, Key::SUBSYSTEM, b"block") && found.any(|found| is_same_device(found, event)) {
            forget(boot);
            boot.search.lost = true;
        }
        return;
    }
    boot.moved |= is(event, Key::ACTION, b"add");
    if is(event, Key::SUBSYSTEM, b"block") {
        // The disk may have got another table, or another medium.
        if is(event, Key::ACTION, b"change") {
            boot.table.disk = 0;
        }
        consider(boot, event);
    } else {
        boot.want(value(event, Key::MODALIAS));
    }
}

/// Compares one block device with what is looked for.
fn consider(boot: &mut Boot, event: &Line) {
    if is(event, Key::DEVTYPE, b"disk") {
        reveal(boot, event);
    }
    for &role in &AWAITED {
        if !answers(boot, role, event) {
            continue;
        }
        let Some(found) = boot.options.target.devices.get_mut(role as usize) else {
            continue;
        };
        if found.is_empty() {
            text::push(found, event);
        } else if is_same_device(found, event) {
            continue;
        } else {
            boot.search.ambiguous = true;
        }
        boot.search.answers += 1;
        let parts = [&boot.options.spec(role).text, value(event, Key::DEVNAME)];
        boot.log.info(b"% is /dev/%", &parts);
        boot.schedule.only_needed |= boot.lacks().is_none();
    }
}

/// Whether a block device is what is looked for.
fn answers(boot: &mut Boot, role: Role, event: &Line) -> bool {
    let spec = boot.options.spec(role);
    let mut facts = Line::new();
    let mut fields = event;
    match spec.source() {
        Source::Superblock => {
            describe(event, &mut facts);
            fields = &facts;
        }
        Source::Table if spec.shift != 0 || !spec.is_told(event) => {
            describe_partition(&mut boot.table, event, spec.shift, &mut facts);
            fields = &facts;
        }
        _ => {}
    }
    !spec.text.is_empty() && spec.is(fields)
}

/// Appends what a device's superblock says.
pub fn describe(event: &Line, facts: &mut Line) {
    if let Ok(device) = open_device(event) {
        filesystem::describe(&device, facts);
        device.close();
    }
}

/// Appends what the table says of the partition that stands `shift` places before this one. `last` is a table that was read before.
pub fn describe_partition(last: &mut Table, event: &Line, shift: u32, facts: &mut Line) {
    let partition = number(event, Key::PARTN);
    if partition == NONE {
        return;
    }
    let (mut disk, path) = (Line::new(), value(event, Key::DEVPATH));
    let _ = files::read(&mut disk, b"/sys%/../uevent", &[path]);
    if let Some(disk) = open_disk(last, &disk) {
        last.describe(&disk, (partition as u32).wrapping_sub(shift), facts);
        disk.close();
    }
}

fn open_device(event: &Line) -> Call<File> {
    let mut node = Line::new();
    let name = value(event, Key::DEVNAME);
    open(fill(&mut node, b"/dev/%", &[name]), OFlags::RDONLY)
}

/// Opens a disk, after it is sure that `last` is its table.
fn open_disk(last: &mut Table, event: &Line) -> Option<File> {
    // No medium, or a device that cannot be read: nothing to be found on it.
    let disk = open_device(event).ok()?;
    // Without a number, nothing says that it is the disk that was read last.
    let sequence = number(event, Key::DISKSEQ);
    if last.disk != sequence || sequence == NONE {
        last.disk = sequence;
        last.read(&disk, disk.geometry());
    }
    Some(disk)
}

/// Tells the kernel of partitions that it does not show by itself: a disk whose primary table is damaged comes without.
fn reveal(boot: &mut Boot, event: &Line) {
    let Some(disk) = open_disk(&mut boot.table, event) else {
        return;
    };
    let table = &mut boot.table;
    if table.is_hidden() {
        for number in 1..MAX_PARTITIONS {
            if let Some((start, length)) = table.partition(&disk, number) {
                // Fails where the kernel did so by itself (its option `gpt`).
                let _ = partitions::add(disk, number, start, length);
            }
        }
        if table.from_backup {
            boot.log.error(
                b"/dev/%: primary GPT damaged, backup used: repair it with gdisk",
                &[value(event, Key::DEVNAME)],
            );
        }
    }
    disk.close();
}
