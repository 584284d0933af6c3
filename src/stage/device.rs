//! Stage 3: the block device that /usr is on, found when it is there and awaited when it is not.

use super::modules::{Modules, coldplug};
use crate::journal::Journal;
use crate::sys::files::{CWD, open, read_file};
use crate::sys::memory::keep;
use crate::sys::netlink::Uevents;
use crate::sys::{clock, partitions};
use core::ffi::CStr;
use rustix::io::Errno;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::gpt::{self, Lookup};
use toehold::format::uevent::value;
use toehold::options::Options;
use toehold::spec::Match;
use toehold::text::{Text, decimal, push};

/// A block device.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its node in /dev.
    pub node: &'static CStr,
    /// Major and minor number.
    pub number: (u32, u32),
}

/// The search for one device, fed by sysfs and by uevents.
pub struct Search<'a> {
    options: &'a Options,
    pub modules: &'a mut Modules,
    pub journal: &'a mut Journal,
    uevents: Uevents,
    found: Option<Device>,
    /// More than one device answers.
    ambiguous: bool,
    /// Messages were lost.
    lost: bool,
    /// The disk (by its sequence number) whose table was read last, and the partition number found in it.
    table: Option<(u64, Option<u64>)>,
}

/// Bytes of a uevent: the kernel's own limit is 2048 for the fields, and the path goes before them.
const EVENT: usize = 4096;

impl<'a> Search<'a> {
    /// Starts to listen: from now on nothing comes up unnoticed.
    pub fn start(
        options: &'a Options,
        modules: &'a mut Modules,
        journal: &'a mut Journal,
    ) -> Result<Self, Failure> {
        let uevents = Uevents::listen()
            .map_err(|errno| Stage::Modules.failed(Step::Socket, errno, b"uevents"))?;
        Ok(Self {
            options,
            modules,
            journal,
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
    pub fn scan(&mut self) {
        each_block_device(&mut |path, event| self.consider(path, event));
    }

    /// Takes every message that has come so far.
    pub fn drain(&mut self) {
        let mut buffer = [0; EVENT];
        loop {
            match self.uevents.receive(&mut buffer) {
                Ok(event) => self.handle(event),
                Err(Errno::NOBUFS) => self.lost = true,
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn handle(&mut self, event: &[u8]) {
        let action = value(event, b"ACTION");
        if action == Some(b"remove") {
            return;
        }
        if value(event, b"SUBSYSTEM") == Some(b"block") {
            // The disk may have got another table, or another medium.
            if action == Some(b"change") {
                self.table = None;
            }
            let mut path = Text::new();
            push(&mut path, b"/sys");
            push(&mut path, value(event, b"DEVPATH").unwrap_or_default());
            self.consider(&path, event);
        } else if action == Some(b"add")
            && !self.is_over()
            && let Some(modalias) = value(event, b"MODALIAS")
        {
            self.modules.load_matching(modalias, self.journal);
        }
    }

    /// Compares one block device, at `path` in sysfs, with what is looked for.
    fn consider(&mut self, path: &[u8], event: &[u8]) {
        let matches = match self.options.device.matches(event) {
            Match::Yes => true,
            Match::No => false,
            Match::AskTable => {
                let number = value(event, b"PARTN").and_then(decimal);
                number.is_some() && number == self.number_in_table(path, b"/../uevent\0")
            }
        };
        if !matches {
            // A disk whose primary table is damaged comes without partitions.
            if value(event, b"DEVTYPE") == Some(b"disk") && self.options.device.is_in_table() {
                self.number_in_table(path, b"/uevent\0");
            }
            return;
        }
        let number = |key| {
            value(event, key)
                .and_then(decimal)
                .map(|number| number as u32)
        };
        let (Some(name), Some(major), Some(minor)) =
            (value(event, b"DEVNAME"), number(b"MAJOR"), number(b"MINOR"))
        else {
            return;
        };
        match self.found {
            Some(found) if found.number == (major, minor) => return,
            Some(_) => self.ambiguous = true,
            None => {}
        }
        let node = keep(&[b"/dev/", name]);
        self.journal
            .info(&[self.options.device_text, b" is ", node.to_bytes()]);
        self.found = Some(Device {
            node,
            number: (major, minor),
        });
    }

    /// The number of the partition looked for in the table of the disk whose uevent file is at `path` + `file`.
    fn number_in_table(&mut self, path: &[u8], file: &[u8]) -> Option<u64> {
        let mut name = Text::new();
        push(&mut name, path);
        push(&mut name, file);
        let mut buffer = [0; EVENT];
        let event = read_file(&CWD, CStr::from_bytes_until_nul(&name).ok()?, &mut buffer).ok()?;
        let sequence = value(event, b"DISKSEQ").and_then(decimal)?;
        match self.table {
            Some((known, number)) if known == sequence => number,
            _ => {
                let number = self.read_table(value(event, b"DEVNAME")?);
                self.table = Some((sequence, number));
                number
            }
        }
    }

    fn read_table(&mut self, name: &[u8]) -> Option<u64> {
        let node = keep(&[b"/dev/", name]);
        // No medium, or a device that cannot be read: nothing to be found on it.
        let disk = open(node).ok()?;
        let (sector, size) = disk.geometry().ok()?;
        let spec = self.options.device;
        match gpt::find(&disk, sector, size, &|entry| spec.matches_entry(entry)) {
            Lookup::Absent => None,
            Lookup::Ambiguous => {
                self.ambiguous = true;
                None
            }
            Lookup::Found(partition) => {
                if partition.from_backup {
                    self.journal.warning(&[
                        node.to_bytes(),
                        b": primary GPT damaged, backup used: repair it with sgdisk -e or gdisk",
                    ]);
                    // Fails where the kernel did so by itself (its option `gpt`).
                    let _ = partitions::add(&disk, &partition);
                }
                Some(partition.number.into())
            }
        }
    }
}

/// Waits for the device.
pub fn run(search: &mut Search) -> Result<Device, Failure> {
    let subject = search.options.device_text;
    let deadline = clock::now().saturating_add(search.options.timeout.saturating_mul(1_000_000));
    loop {
        search.drain();
        if search.lost && !search.is_over() {
            search.lost = false;
            coldplug(search);
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

/// Calls `visit` with the path in sysfs and the uevent file of every block device.
fn each_block_device(visit: &mut dyn FnMut(&[u8], &[u8])) {
    let directory = b"/sys/class/block/";
    let _ = keep(&[]);
    let Ok(class) = open(c"/sys/class/block") else {
        return;
    };
    let _ = class.entries(&mut |name| {
        let mut path = Text::new();
        push(&mut path, directory);
        push(&mut path, name.to_bytes());
        let len = path.len();
        push(&mut path, b"/uevent\0");
        let mut buffer = [0; EVENT];
        if let Ok(file) = CStr::from_bytes_until_nul(&path)
            && let Ok(event) = read_file(&CWD, file, &mut buffer)
        {
            visit(path.get(..len).unwrap_or_default(), event);
        }
    });
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
