//! Stage 3: the block device that /usr is on, found when it is there and awaited when it is not.

use crate::boot::Boot;
use crate::sys::files::{self, contents, each_entry, open};
use crate::sys::memory::{fill, keep};
use crate::sys::netlink::Uevents;
use crate::sys::partitions;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::{Problem, Stage, Step};
use toehold::format::gpt;
use toehold::format::uevent::{NONE, is, number, value};
use toehold::spec::Match;
use toehold::text::Line;

/// A block device.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its node in /dev.
    pub node: &'static CStr,
    /// `MAJOR:MINOR`.
    pub number: &'static [u8],
}

/// The search for one device, fed by sysfs and by uevents.
pub struct Search {
    pub uevents: Uevents,
    /// What was looked for, and from stage verity on the device that verifies it.
    pub found: Option<Device>,
    /// More than one device answers.
    ambiguous: bool,
    /// Messages were lost.
    pub lost: bool,
    /// Sequence number of the disk whose table was read last, and the partition's number in it; 0: none.
    table: (u64, u32),
}

impl Search {
    /// Nothing is looked for.
    pub const NONE: Self = Self {
        uevents: Uevents(files::STDIN),
        found: None,
        ambiguous: false,
        lost: false,
        table: (0, 0),
    };
}

impl Boot {
    /// The device that was found, which is worked on from now on.
    pub fn device(&mut self) -> Result<Device, Problem> {
        let device = self.search.found.ok_or(Step::Open.refused())?;
        self.subject = Some(device.node.to_bytes());
        Ok(device)
    }
}

/// Waits for the device.
pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    boot.subject = boot.options.device.text;
    let deadline = boot.deadline();
    loop {
        boot.advance();
        check_alone(boot)?;
        if boot.search.found.is_some() {
            return Ok(());
        }
        boot.wait(deadline)?;
    }
}

/// Refuses to go on when another device has come up that answers, too.
pub fn check_alone(boot: &mut Boot) -> Result<(), Problem> {
    drain(boot);
    if boot.search.ambiguous {
        (boot.stage, boot.subject) = (Stage::Device, boot.options.device.text);
        return Err(Step::Ambiguous.refused());
    }
    Ok(())
}

/// Looks at every block device that is there.
pub fn scan(boot: &mut Boot) {
    each_entry(b"/sys/class/block", &[], &mut |name| {
        let (mut path, mut fields) = (Line::new(), Line::new());
        let path = fill(&mut path, b"/class/block/%", &[name]).to_bytes();
        let event = contents(&mut fields, b"/sys%/uevent", &[path]);
        consider(boot, path, event);
    });
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
    if is(event, b"ACTION", b"remove") {
        return;
    }
    boot.moved |= is(event, b"ACTION", b"add");
    if is(event, b"SUBSYSTEM", b"block") {
        // The disk may have got another table, or another medium.
        if is(event, b"ACTION", b"change") {
            boot.search.table = (0, 0);
        }
        consider(boot, value(event, b"DEVPATH"), event);
    } else {
        boot.want(value(event, b"MODALIAS"));
    }
}

/// Compares one block device, at `path` below /sys, with what is looked for.
fn consider(boot: &mut Boot, path: &[u8], event: &[u8]) {
    let answer = boot.options.device.matches(event);
    if answer != Match::Yes {
        // A disk whose primary table is damaged comes without partitions.
        let disk = is(event, b"DEVTYPE", b"disk");
        if answer == Match::No && !disk
            || u64::from(number_in_table(boot, event, path, disk)) != number(event, b"PARTN")
        {
            return;
        }
    }
    let number = keep(b"%:%", &[value(event, b"MAJOR"), value(event, b"MINOR")]).to_bytes();
    match boot.search.found {
        Some(found) if found.number == number => return,
        Some(_) => boot.search.ambiguous = true,
        None => {}
    }
    let node = keep(b"/dev/%", &[value(event, b"DEVNAME")]);
    let text = boot.options.device.text.unwrap_or_default();
    boot.journal.log.info(b"% is %", &[text, node.to_bytes()]);
    boot.search.found = Some(Device { node, number });
    boot.schedule.only_needed = true;
}

/// The number of the partition looked for in the table of the disk that `event` is about, or in that of the disk that the
/// partition at `path` belongs to; 0: none.
fn number_in_table(boot: &mut Boot, event: &[u8], path: &[u8], disk: bool) -> u32 {
    let field = &boot.options.device.field;
    if field.bytes.is_empty() {
        return 0;
    }
    // A partition has its disk's number. Without one, nothing says that it is the disk that was read last.
    let sequence = number(event, b"DISKSEQ");
    if boot.search.table.0 == sequence && sequence != NONE {
        return boot.search.table.1;
    }
    boot.search.table = (sequence, 0);
    let (mut fields, mut node) = (Line::new(), Line::new());
    let event = match disk {
        true => event,
        false => contents(&mut fields, b"/sys%/../uevent", &[path]),
    };
    let node = fill(&mut node, b"/dev/%", &[value(event, b"DEVNAME")]);
    // No medium, or a device that cannot be read: nothing to be found on it.
    let Ok(disk) = open(node, OFlags::RDONLY) else {
        return 0;
    };
    if let Ok((sector, size)) = disk.geometry()
        && let Some(partition) = gpt::find(&disk, sector, size, field)
        && partition.number != 0
    {
        boot.search.ambiguous |= partition.ambiguous;
        boot.search.table.1 = partition.number;
        if partition.from_backup {
            boot.journal.log.error(
                b"%: primary GPT damaged, backup used: repair it with gdisk",
                &[node.to_bytes()],
            );
            // Fails where the kernel did so by itself (its option `gpt`).
            let _ = partitions::add(disk, &partition);
        }
    }
    disk.close();
    boot.search.table.1
}
