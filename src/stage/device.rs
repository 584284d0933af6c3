//! Stage 3: the block device that /usr is on, found when it is there and awaited when it is not.

use super::Boot;
use super::modules::coldplug;
use crate::journal::Journal;
use crate::sys::files::{CWD, open, read_file};
use crate::sys::memory::{join, keep};
use crate::sys::netlink::Uevents;
use crate::sys::{clock, partitions};
use core::ffi::CStr;
use rustix::io::Errno;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::gpt::{self, Lookup};
use toehold::format::uevent::value;
use toehold::spec::Match;
use toehold::text::decimal;

/// A block device.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its node in /dev.
    pub node: &'static CStr,
    /// Major and minor number.
    pub number: (u32, u32),
}

/// The search for one device, fed by sysfs and by uevents.
pub struct Search {
    uevents: Uevents,
    found: Option<Device>,
    /// More than one device answers.
    ambiguous: bool,
    /// Messages were lost.
    lost: bool,
    /// The disk (by its sequence number) whose table was read last, and the partition number found in it.
    table: Option<(u64, Option<u64>)>,
}

/// Bytes of a uevent: 2048 of fields is the kernel's own limit, and the path goes before them.
const EVENT: usize = 3072;

impl Search {
    /// Starts to listen: from now on nothing comes up unnoticed.
    pub fn start() -> Result<Self, Failure> {
        let uevents = Uevents::listen()
            .map_err(|errno| Stage::Modules.failed(Step::Socket, errno, b"uevents"))?;
        Ok(Self {
            uevents,
            found: None,
            ambiguous: false,
            lost: false,
            table: None,
        })
    }

    /// Whether there is nothing left to search for.
    pub fn is_over(&self) -> bool {
        self.found.is_some()
    }

    /// Looks at every block device that is there.
    pub fn scan(&mut self, boot: &Boot) {
        each_block_device(&mut |path, event| self.consider(boot, path, event));
    }

    /// Takes every message that has come so far.
    pub fn drain(&mut self, boot: &mut Boot) {
        let mut buffer = [0; EVENT];
        loop {
            match self.uevents.receive(&mut buffer) {
                Ok(event) => self.handle(boot, event),
                Err(Errno::NOBUFS) => self.lost = true,
                Err(_) => return,
            }
        }
    }

    fn handle(&mut self, boot: &mut Boot, event: &[u8]) {
        let Some(path) = value(event, b"DEVPATH") else {
            return;
        };
        let action = value(event, b"ACTION");
        if action == Some(b"remove") {
            return;
        }
        if value(event, b"SUBSYSTEM") == Some(b"block") {
            // The disk may have got another table, or another medium.
            if action == Some(b"change") {
                self.table = None;
            }
            self.consider(boot, path, event);
        } else if !self.is_over()
            && let Some(modalias) = value(event, b"MODALIAS")
        {
            boot.load_matching(modalias);
        }
    }

    /// Compares one block device, at `path` below /sys, with what is looked for.
    fn consider(&mut self, boot: &Boot, path: &[u8], event: &[u8]) {
        let matches = match boot.options.device.matches(event) {
            Match::Yes => true,
            Match::No => {
                // A disk whose primary table is damaged comes without partitions.
                if value(event, b"DEVTYPE") == Some(b"disk") && boot.options.device.is_in_table() {
                    self.number_in_table(boot, path, b"/uevent");
                }
                false
            }
            Match::AskTable => {
                let number = value(event, b"PARTN").and_then(decimal);
                number.is_some() && number == self.number_in_table(boot, path, b"/../uevent")
            }
        };
        let number = |key| {
            value(event, key)
                .and_then(decimal)
                .map(|number| number as u32)
        };
        if matches
            && let Some(name) = value(event, b"DEVNAME")
            && let Some(major) = number(b"MAJOR")
            && let Some(minor) = number(b"MINOR")
        {
            let number = (major, minor);
            match self.found {
                Some(found) if found.number == number => return,
                Some(_) => self.ambiguous = true,
                None => {}
            }
            let node = keep(&[b"/dev/", name]);
            boot.journal
                .info(&[boot.options.device_text, b" is ", node.to_bytes()]);
            self.found = Some(Device { node, number });
        }
    }

    /// The number of the partition looked for in the table of the disk whose uevent file is at `path` + `file`.
    fn number_in_table(&mut self, boot: &Boot, path: &[u8], file: &[u8]) -> Option<u64> {
        let mut buffer = [0; 512];
        let mut fields = [0; 512];
        let event = read_file(CWD, join(&mut buffer, &[b"/sys", path, file]), &mut fields).ok()?;
        let sequence = value(event, b"DISKSEQ").and_then(decimal)?;
        match self.table {
            Some((known, number)) if known == sequence => number,
            _ => {
                let number = self.read_table(
                    boot,
                    join(&mut buffer, &[b"/dev/", value(event, b"DEVNAME")?]),
                );
                self.table = Some((sequence, number));
                number
            }
        }
    }

    fn read_table(&mut self, boot: &Boot, node: &CStr) -> Option<u64> {
        // No medium, or a device that cannot be read: nothing to be found on it.
        let disk = open(node).ok()?;
        let lookup = disk.geometry().map(|(sector, size)| {
            gpt::find(&disk, sector, size, &|entry| {
                boot.options.device.matches_entry(entry)
            })
        });
        let number = match lookup {
            Ok(Lookup::Found(partition)) => {
                if partition.from_backup {
                    boot.journal.warning(&[
                        node.to_bytes(),
                        b": primary GPT damaged, backup used: repair it with gdisk",
                    ]);
                    // Fails where the kernel did so by itself (its option `gpt`).
                    let _ = partitions::add(disk, &partition);
                }
                Some(partition.number.into())
            }
            Ok(Lookup::Ambiguous) => {
                self.ambiguous = true;
                None
            }
            _ => None,
        };
        disk.close();
        number
    }
}

/// Waits for the device.
pub fn run(boot: &mut Boot, search: &mut Search) -> Result<Device, Failure> {
    let subject = boot.options.device_text;
    let deadline = clock::now().saturating_add(boot.options.timeout.saturating_mul(1_000_000));
    loop {
        search.drain(boot);
        if search.lost && !search.is_over() {
            search.lost = false;
            coldplug(boot, search);
        }
        if search.ambiguous {
            return Err(Stage::Device.refused(Step::Ambiguous, subject));
        }
        if let Some(device) = search.found {
            return Ok(device);
        }
        let left = deadline.saturating_sub(clock::now());
        if left == 0 {
            return Err(Stage::Device.failed(Step::Wait, Errno::TIMEDOUT, subject));
        }
        search.uevents.wait(left);
    }
}

/// Calls `visit` with the path below /sys and the uevent file of every block device.
fn each_block_device(visit: &mut dyn FnMut(&[u8], &[u8])) {
    let Ok(class) = open(c"/sys/class/block") else {
        return;
    };
    let _ = class.entries(&mut |name| {
        let (mut path, mut file, mut fields) = ([0; 256], [0; 256], [0; 512]);
        let file = join(&mut file, &[name.to_bytes(), b"/uevent"]);
        if let Ok(event) = read_file(class, file, &mut fields) {
            visit(
                join(&mut path, &[b"/class/block/", name.to_bytes()]).to_bytes(),
                event,
            );
        }
    });
    class.close();
}

/// Lists the block devices that there are, for the person who reads the log after a failure.
pub fn report(journal: &Journal) {
    each_block_device(&mut |_, event| {
        let field = |key| value(event, key).unwrap_or_default();
        journal.error(&[
            b"block device /dev/",
            field(b"DEVNAME"),
            b" ",
            field(b"MAJOR"),
            b":",
            field(b"MINOR"),
            b" ",
            field(b"PARTNAME"),
        ]);
    });
}
