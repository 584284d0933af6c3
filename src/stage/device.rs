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
use toehold::failure::{Problem, Stage, Step};
use toehold::format::filesystem;
use toehold::format::gpt::Table;
use toehold::format::uevent::{NONE, is, is_same_device, number, value};
use toehold::options::{AWAITED, Role};
use toehold::spec::Source;
use toehold::text::Line;

pub mod candidates;

/// More partitions than the kernel shows of a disk.
const MAX_PARTITIONS: u32 = 256;

/// A block device: what the kernel says of it.
pub type Device = &'static [u8];

/// A device's node in /dev.
pub fn node(device: &[u8]) -> &'static CStr {
    keep(b"/dev/%", &[value(device, b"DEVNAME")])
}

/// The search for devices, fed by sysfs and by uevents.
pub struct Search {
    pub uevents: Uevents,
    /// The first that answered, by [`Role`]; from stage verity on the data are on the device that verifies it.
    pub found: [Option<Device>; AWAITED.len()],
    /// How many have answered.
    pub answers: u32,
    /// More than one device answers for the same role.
    pub ambiguous: bool,
    /// Messages were lost.
    pub lost: bool,
    pub table: Table,
}

impl Search {
    /// Nothing is looked for.
    pub const NONE: Self = Self {
        uevents: Uevents(files::STDIN),
        found: [None; AWAITED.len()],
        answers: 0,
        ambiguous: false,
        lost: false,
        table: Table::NONE,
    };

    /// Starts again, with a look at everything that is there.
    fn forget(&mut self) {
        self.found = [None; AWAITED.len()];
        self.ambiguous = false;
        self.lost = true;
    }
}

impl Boot {
    /// The node of the device that was found, which is worked on from now on.
    pub fn device(&mut self) -> Result<&'static CStr, Problem> {
        let [data, ..] = self.search.found;
        let node = node(data.ok_or(Step::Open.refused())?);
        self.subject = Some(node.to_bytes());
        Ok(node)
    }

    /// A role for which no device has been found.
    pub fn lacks(&self) -> Option<Role> {
        let found = AWAITED.iter().zip(&self.search.found);
        found
            .filter(|(role, device)| device.is_none() && !self.options.spec(**role).text.is_empty())
            .map(|(role, _)| *role)
            .next()
    }
}

/// Waits for the devices.
pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    let deadline = boot.deadline();
    loop {
        boot.advance();
        check_alone(boot)?;
        let Some(role) = boot.lacks() else {
            return Ok(());
        };
        if let Err(problem) = boot.wait(deadline) {
            return fail(boot, role, problem);
        }
    }
}

/// Refuses to go on when another device has come up that answers, too, and nothing can tell which is the right one.
pub fn check_alone(boot: &mut Boot) -> Result<(), Problem> {
    drain(boot);
    if boot.search.ambiguous && boot.options.target.root_hash.is_none() {
        return fail(boot, Role::Data, Step::Ambiguous.refused());
    }
    Ok(())
}

/// A failure that is about what was looked for.
fn fail(boot: &mut Boot, role: Role, problem: Problem) -> Result<(), Problem> {
    boot.stage = Stage::Device;
    boot.subject = Some(keep_one(&boot.options.spec(role).text).to_bytes());
    Err(problem)
}

/// Calls `visit` with the place below /sys of each block device that is there, and with its uevent.
pub fn each(visit: &mut dyn FnMut(&[u8], &[u8])) {
    each_entry(b"/sys/class/block", &[], &mut |name| {
        let (mut path, mut fields) = (Line::new(), Line::new());
        let path = fill(&mut path, b"/class/block/%", &[name]).to_bytes();
        visit(path, contents(&mut fields, b"/sys%/uevent", &[path]));
    });
}

/// Looks at every block device that is there.
pub fn scan(boot: &mut Boot) {
    each(&mut |path, event| consider(boot, path, event));
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
fn handle(boot: &mut Boot, event: &[u8]) {
    let is_block = is(event, b"SUBSYSTEM", b"block");
    if is(event, b"ACTION", b"remove") {
        // What was found may be gone, or no longer the only one: all is looked at again.
        if is_block
            && boot
                .search
                .found
                .iter()
                .flatten()
                .any(|found| is_same_device(found, event))
        {
            boot.search.forget();
        }
        return;
    }
    boot.moved |= is(event, b"ACTION", b"add");
    if is_block {
        // The disk may have got another table, or another medium.
        if is(event, b"ACTION", b"change") {
            boot.search.table = Table::NONE;
        }
        consider(boot, value(event, b"DEVPATH"), event);
    } else {
        boot.want(value(event, b"MODALIAS"));
    }
}

/// Compares one block device, at `path` below /sys, with what is looked for.
fn consider(boot: &mut Boot, path: &[u8], event: &[u8]) {
    if is(event, b"DEVTYPE", b"disk") {
        reveal(boot, event);
    }
    for role in AWAITED {
        if !answers(boot, role, path, event) {
            continue;
        }
        let Some(place) = boot.search.found.get_mut(role as usize) else {
            continue;
        };
        match place {
            Some(found) if is_same_device(found, event) => continue,
            Some(_) => boot.search.ambiguous = true,
            None => *place = Some(keep_one(event).to_bytes()),
        }
        boot.search.answers += 1;
        let text = &boot.options.spec(role).text;
        boot.journal
            .log
            .info(b"% is /dev/%", &[text, value(event, b"DEVNAME")]);
    }
    boot.schedule.only_needed |= boot.lacks().is_none();
}

/// Whether a block device, at `path` below /sys, is what is looked for.
fn answers(boot: &mut Boot, role: Role, path: &[u8], event: &[u8]) -> bool {
    let spec = boot.options.spec(role);
    let mut facts = Line::new();
    let fields = match spec.source() {
        Source::Superblock => {
            describe(event, &mut facts);
            &facts
        }
        Source::Table if spec.shift != 0 || !spec.is_told(event) => {
            describe_partition(&mut boot.search.table, path, event, spec.shift, &mut facts);
            &facts
        }
        _ => event,
    };
    !spec.text.is_empty() && spec.is(fields)
}

/// Appends what a device's superblock says.
pub fn describe(event: &[u8], facts: &mut Line) {
    if let Ok(device) = open_device(event) {
        filesystem::describe(&device, facts);
        device.close();
    }
}

/// Appends what the table says of the partition that stands `shift` places before the one at `path`.
pub fn describe_partition(
    last: &mut Table,
    path: &[u8],
    event: &[u8],
    shift: u32,
    facts: &mut Line,
) {
    let partition = number(event, b"PARTN");
    let mut fields = Line::new();
    if partition != NONE
        && let Some(disk) = open_disk(last, contents(&mut fields, b"/sys%/../uevent", &[path]))
    {
        last.describe(&disk, (partition as u32).wrapping_sub(shift), facts);
        disk.close();
    }
}

fn open_device(event: &[u8]) -> Call<File> {
    let mut node = Line::new();
    open(
        fill(&mut node, b"/dev/%", &[value(event, b"DEVNAME")]),
        OFlags::RDONLY,
    )
}

/// Opens a disk, after it is sure that `last` is its table.
fn open_disk(last: &mut Table, event: &[u8]) -> Option<File> {
    // No medium, or a device that cannot be read: nothing to be found on it.
    let disk = open_device(event).ok()?;
    // Without a number, nothing says that it is the disk that was read last.
    let sequence = number(event, b"DISKSEQ");
    if last.disk != sequence || sequence == NONE {
        last.disk = sequence;
        last.read(&disk, disk.geometry());
    }
    Some(disk)
}

/// Tells the kernel of partitions that it does not show by itself: a disk whose primary table is damaged comes without.
fn reveal(boot: &mut Boot, event: &[u8]) {
    let Some(disk) = open_disk(&mut boot.search.table, event) else {
        return;
    };
    let table = &boot.search.table;
    let mut revealed = false;
    if table.is_hidden() {
        for number in 1..=MAX_PARTITIONS {
            if let Some((start, length)) = table.partition(&disk, number) {
                // Fails where the kernel did so by itself (its option `gpt`).
                revealed |= partitions::add(disk, number, start, length).is_ok();
            }
        }
    }
    disk.close();
    if revealed {
        boot.journal.log.error(
            b"/dev/%: primary GPT damaged, backup used: repair it with gdisk",
            &[value(event, b"DEVNAME")],
        );
    }
}
