//! One boot of a real kernel: what goes in, and what must have come out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use toehold_stage2::Report;
use xtask::console::Log;
use xtask::disk::{self, Disk, Recipe};
use xtask::kernels::{self, Series};
use xtask::qemu::{Drive, Interface, Machine, Outcome, Running};
use xtask::{paths, tools};

use crate::initrds::{Initrd, Wanted};

/// A boot to try. The default is the demo, but for a shorter time between a failure and the reboot.
#[derive(Clone)]
pub struct Boot {
    pub kernel: Series,
    pub initrd: Wanted,
    pub recipe: Recipe,
    /// Done to a copy of the disk.
    pub damage: Option<fn(&Disk)>,
    pub interface: Interface,
    /// The disk comes only when it is plugged in.
    pub unplugged: bool,
    /// More disks: how many, on which interface, and what they show.
    pub others: Option<(usize, Interface, Other)>,
    /// Everything on the command line that is about the disk.
    pub words: fn(&Disk) -> String,
    pub append: &'static str,
    pub cpus: u32,
    pub memory: u32,
}

/// What is on a disk that the boot is not about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// The same, identifiers included.
    Twin,
    /// So many empty partitions with identifiers of their own.
    Partitions(u32),
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            kernel: Series::Cloud61,
            initrd: Wanted::DEMO,
            recipe: Recipe::default(),
            damage: None,
            interface: Interface::VirtioBlk,
            unplugged: false,
            others: None,
            words: Disk::words,
            append: "",
            cpus: 2,
            memory: 1024,
        }
    }
}

/// A machine that is ready to start, and what it is made of.
pub struct Ready {
    pub machine: Machine,
    pub disk: Disk,
    pub initrd: Initrd,
    // Holds the damaged disk.
    _room: tempfile::TempDir,
}

/// A boot that reached stage 2.
pub struct Booted {
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
        let initrd = self.initrd.build(self.kernel);
        let mut disk = disk::make(&self.recipe).expect("a disk");
        let room = tempfile::tempdir_in(paths::output()).expect("a folder");
        if let Some(damage) = self.damage {
            disk = disk.copy(&room.path().join("disk.img")).expect("a copy");
            damage(&disk);
        }
        let mut drives = Vec::new();
        if let Some((count, interface, other)) = self.others {
            let file = match other {
                Other::Twin => disk.path.clone(),
                Other::Partitions(count) => partitions(count, room.path()),
            };
            drives.resize(count, Drive::new(file, interface));
        }
        drives.push(Drive {
            unplugged: self.unplugged,
            ..Drive::new(disk.path.clone(), self.interface)
        });
        let words = (self.words)(&disk);
        let append = format!("{words} rd.earlytimeout=30 {}", self.append);
        let machine = Machine {
            drives,
            cpus: self.cpus,
            memory: self.memory,
            ..Machine::new(
                kernel.vmlinuz,
                initrd.path.clone(),
                disk.path.clone(),
                append,
            )
        };
        Ready {
            machine,
            disk,
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
        let outcome = self.ready().start().finish().expect("QEMU");
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
}

impl Ready {
    /// Starts the machine, and waits until the kernel starts the init. Up to there nothing is tested: the emulator, which does
    /// not always see in time that a kernel has rewritten its own code, gets another try.
    pub fn start(&self) -> Running {
        for _ in 0..3 {
            let mut running = self.machine.start().expect("QEMU");
            if running.wait_for("Run /init as init process") {
                return running;
            }
            let log = running.finish().expect("QEMU").log;
            eprintln!("no init was started:\n{}", log.tail(40));
        }
        panic!("no kernel came to start the init");
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
            report,
            log: outcome.log,
            disk: self.disk,
            initrd: self.initrd,
        }
    }
}

impl Booted {
    /// When a stage was done, after the start of init.
    pub fn stage(&self, name: &str) -> Duration {
        let stages = self.log.stages();
        let stage = stages.iter().find(|stage| stage.name == name);
        stage
            .unwrap_or_else(|| panic!("no stage {name} among {stages:?}"))
            .at
    }
}

/// A disk that the boot is not about, in `folder`.
fn partitions(count: u32, folder: &Path) -> PathBuf {
    let path = folder.join("other.img");
    let file = File::create(&path).expect("a disk");
    file.set_len(64 << 20).expect("a disk");
    let mut sgdisk = tools::SGDISK.command().expect("sgdisk");
    for number in 1..=count {
        sgdisk.arg(format!("--new={number}:0:+4M"));
        sgdisk.arg(format!("--change-name={number}:OTHER-{number}"));
    }
    tools::run(sgdisk.arg(&path)).expect("a table");
    path
}
