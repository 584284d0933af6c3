//! One boot of a real kernel: what goes in, and what must have come out.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use toehold_stage2::Report;
use xtask::lab::console::Log;
use xtask::lab::disk::{self, Disk, Filesystem, Recipe};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::{Drive, Interface, Machine, Outcome, Running};
use xtask::lab::{paths, tools};
use xtask::measure::results;

use crate::initrds::{Files, Initrd, Wanted};
use crate::others::Other;
use crate::uki;

/// A boot to try. The default is the demo, but for a shorter time between a failure and the reboot.
#[derive(Clone)]
pub struct Boot {
    pub kernel: Series,
    pub initrd: Wanted,
    pub recipe: Recipe,
    /// Done to a copy of the disk.
    pub damage: Option<fn(&Disk)>,
    /// Files that the initrd gets in addition, by path.
    pub files: fn(&Disk) -> Files,
    /// Files of a second archive behind the initrd's.
    pub appended: fn(&Disk) -> Files,
    pub interface: Interface,
    /// The disk comes only when it is plugged in.
    pub unplugged: bool,
    /// What of the disk cannot be read.
    pub unreadable: fn(&Disk) -> Option<Range<u64>>,
    /// More disks, which the kernel meets before this one and after it.
    pub before: Vec<Other>,
    pub after: Vec<Other>,
    /// The machine has UEFI and starts from the drive with this number: kernel, command line and initrd are one file on each drive's EFI
    /// system partition.
    pub started_from: Option<usize>,
    /// Secure Boot is on; whether that file is signed with a key that the firmware trusts.
    pub secure_boot: Option<bool>,
    /// Everything on the command line that is about the disk.
    pub words: fn(&Disk) -> String,
    pub append: &'static str,
    /// One is enough for most: an emulated processor that idles costs this machine time, too. Where modules are to load side by side it takes more.
    pub cpus: u32,
    /// The clock counts instructions.
    pub counts_instructions: bool,
    /// A floppy drive and a CD drive with nothing in them.
    pub empty_drives: bool,
    pub memory: u32,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            kernel: Series::Cloud61,
            initrd: Wanted::DEMO,
            recipe: recipe(),
            damage: None,
            files: |_| Vec::new(),
            appended: |_| Vec::new(),
            interface: Interface::VirtioBlk,
            unplugged: false,
            unreadable: |_| None,
            before: Vec::new(),
            after: Vec::new(),
            started_from: None,
            secure_boot: None,
            words: Disk::words,
            append: "",
            cpus: 1,
            counts_instructions: false,
            empty_drives: false,
            memory: 1024,
        }
    }
}

/// The demo's disk with ext4, where the filesystem does not matter: btrfs's driver takes a software emulation a second to load, and four where the
/// kernel has to decompress it.
pub fn recipe() -> Recipe {
    Recipe {
        usr: Filesystem::Ext4,
        ..Recipe::default()
    }
}

/// A machine that is ready to start, and what it is made of.
pub struct Ready {
    pub kernel: Series,
    pub machine: Machine,
    pub disk: Disk,
    /// Its number among the machine's drives.
    pub number: usize,
    pub initrd: Initrd,
    // Holds what is made for this boot only.
    _room: tempfile::TempDir,
}

/// A boot that reached stage 2.
pub struct Booted {
    pub kernel: Series,
    pub report: Report,
    pub log: Log,
    pub disk: Disk,
    pub initrd: Initrd,
}

impl Boot {
    /// Makes kernel, initrd and disk, or finds those that an earlier test has made.
    pub fn ready(&self) -> Ready {
        static TOOLS: OnceLock<()> = OnceLock::new();
        TOOLS.get_or_init(|| tools::require(&tools::all()).expect("the tools"));
        let kernel = kernels::fetch(self.kernel).expect("a kernel");
        let made = disk::make(&Recipe {
            arch: self.kernel.arch(),
            ..self.recipe.clone()
        })
        .expect("a disk");
        let room = paths::room().expect("a folder");
        let disk = match self.damage {
            Some(damage) => damaged(&made, damage, &room.path().join("disk.img")),
            None => made.clone(),
        };
        let mut initrd = self.initrd.build(self.kernel, &(self.files)(&disk));
        let appended = (self.appended)(&disk);
        if !appended.is_empty() {
            initrd.append(appended, &room.path().join("initrd.img"));
        }
        let more = |others: &[Other], first: usize| -> Vec<Drive> {
            let numbered = others.iter().zip(first..);
            numbered
                .map(|(other, number)| other.drive(&made, room.path(), number))
                .collect()
        };
        let number = self.before.len();
        let mut drives = more(&self.before, 0);
        drives.push(Drive {
            unplugged: self.unplugged,
            sector: disk.sector,
            unreadable: (self.unreadable)(&disk),
            ..Drive::new(disk.path.clone(), self.interface)
        });
        drives.extend(more(&self.after, number + 1));
        let words = (self.words)(&disk);
        // Time in the machine goes on while others keep it from its processors: a device that comes at once elsewhere may take long.
        let append = format!("{words} rd.earlytimeout=120 {}", self.append);
        let packed = initrd.path.clone();
        let machine = match self.started_from {
            None => Machine {
                unpacked: kernel
                    .unpacked(self.kernel.arch())
                    .expect("an unpacked kernel"),
                ..Machine::new(kernel.vmlinuz, packed, disk.path.clone(), append)
            },
            Some(number) => {
                let signed = self.secure_boot == Some(true);
                let file = uki::make(self.kernel, packed, &append, signed, room.path());
                uki::install(self.kernel, &file, &disk, &mut drives, room.path());
                drives[number].boot_index = Some(0);
                let variables =
                    uki::variables(self.kernel, self.secure_boot.is_some(), room.path());
                Machine::from_disk(variables, disk.path.clone())
            }
        };
        let machine = Machine {
            arch: self.kernel.arch(),
            drives,
            cpus: self.cpus,
            counts_instructions: self.counts_instructions,
            empty_drives: self.empty_drives,
            memory: self.memory,
            ..machine
        };
        Ready {
            kernel: self.kernel,
            machine,
            disk,
            number,
            initrd,
            _room: room,
        }
    }

    /// Boots, and expects stage 2's report.
    pub fn stage2(&self) -> Booted {
        let ready = self.ready();
        let running = ready.start();
        ready.stage2(running)
    }

    /// Boots, and expects this failure line (from `FAILED` on) and then a reboot.
    pub fn fails(&self, line: &str) -> Outcome {
        let ready = self.ready();
        let running = ready.start();
        ready.fails(running, line)
    }
}

/// Settings of a profile that are locked to the image of this disk.
pub fn locked_to(recipe: &Recipe) -> &'static str {
    let disk = disk::make(recipe).expect("a disk");
    let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
    format!("cmdline.locked = true\nemergency.shell = false\nverity.root_hash = '{root_hash}'")
        .leak()
}

impl Ready {
    /// Waits for the end of a machine that was started, and expects this failure line (from `FAILED` on) and a reboot.
    pub fn fails(self, running: Running, line: &str) -> Outcome {
        let outcome = running.finish().expect("QEMU");
        assert_eq!(
            outcome.log.failed(),
            Some(line),
            "the console ended with\n{}",
            outcome.log.tail(40)
        );
        assert!(outcome.report.is_none(), "stage 2 was reached after all");
        assert!(
            !outcome.timed_out,
            "no reboot after the failure:\n{}",
            outcome.log.tail(10)
        );
        assert!(
            outcome.log.contains("reboot: Restarting system"),
            "{}",
            outcome.log.tail(10)
        );
        outcome
    }

    /// Starts the machine, and waits until the kernel starts the init. Up to there nothing is tested: the emulator, which does
    /// not always see in time that a kernel has rewritten its own code, gets another try.
    pub fn start(&self) -> Running {
        let mut why = String::new();
        for _ in 0..3 {
            let mut running = self.machine.start().expect("QEMU");
            match running.wait_for("Run /init as init process") {
                Ok(()) => return running,
                Err(error) => why = error.to_string(),
            }
            eprintln!("no init was started: {why}");
        }
        panic!("no kernel came to start the init: {why}");
    }

    /// Waits for the end of a machine that was started, and expects stage 2's report.
    pub fn stage2(self, running: Running) -> Booted {
        let outcome = running.finish().expect("QEMU");
        let Some(report) = outcome.report else {
            panic!(
                "stage 2 reported nothing; the console ended with\n{}",
                outcome.log.tail(160)
            );
        };
        assert_eq!(outcome.log.failed(), None);
        Booted {
            kernel: self.kernel,
            report,
            log: outcome.log,
            disk: self.disk,
            initrd: self.initrd,
        }
    }
}

impl Booted {
    /// Keeps that this boot was seen through, everything asserted, for the table of results.
    pub fn passed(&self, mode: &str) {
        let seen = results::Booted {
            kernel: self.kernel.version().to_owned(),
            arch: self.kernel.arch().to_string(),
            mode: mode.to_owned(),
            filesystem: self.disk.filesystem.to_string(),
        };
        seen.record().expect("a result");
    }

    /// When a stage was done, after the start of init.
    pub fn stage(&self, name: &str) -> Duration {
        let stages = self.log.stages();
        let stage = stages.iter().find(|stage| stage.name == name);
        stage
            .unwrap_or_else(|| panic!("no stage {name} among {stages:?}"))
            .at
    }
}

/// Waits for a line of the console, or ends the test with what came instead.
#[track_caller]
pub fn see(running: &mut Running, text: &str) {
    if let Err(error) = running.wait_for(text) {
        panic!("{error}");
    }
}

/// A copy of a disk at `path`, with something done to it.
pub fn damaged(disk: &Disk, damage: fn(&Disk), path: &Path) -> Disk {
    let copy = disk.copy(path).expect("a copy");
    damage(&copy);
    copy
}

/// Tests that are ended leave no machine running.
#[test]
fn machine_ends_with_the_thread_that_has_started_it() {
    let ready = Boot::default().ready();
    let thread = std::thread::spawn(move || ready.start());
    let running = thread.join().expect("a machine");
    let why = running.finish().expect_err("it went on").to_string();
    assert!(why.contains("signal: 9"), "{why}");
}
