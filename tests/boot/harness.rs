//! One boot of a real kernel: what goes in, and what must have come out.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use toehold_stage2::Report;
use xtask::commands::build;
use xtask::console::Log;
use xtask::disk::{self, Disk, Recipe};
use xtask::initrd::{self, Request};
use xtask::kernels::{self, Kernel, Series};
use xtask::qemu::{Interface, Machine, Outcome, Running};
use xtask::{cache, paths, tools};

/// A boot to try. The default is the demo, but for a shorter time between a failure and the reboot.
#[derive(Clone)]
pub struct Boot {
    pub kernel: Series,
    /// File name in xtask/profiles.
    pub profile: &'static str,
    /// Modules that the profile gets in addition.
    pub names: &'static [&'static str],
    pub prompt_seconds: u32,
    /// Length of an incompressible file that the initrd gets in addition.
    pub ballast: usize,
    pub recipe: Recipe,
    /// Done to a copy of the disk.
    pub damage: Option<fn(&Disk)>,
    pub interface: Interface,
    /// The same disk is there twice.
    pub twin: bool,
    /// Everything on the command line that is about the disk.
    pub words: fn(&Disk) -> String,
    pub append: &'static str,
    pub memory: u32,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            kernel: Series::Cloud61,
            profile: "qemu.toml",
            names: &[],
            prompt_seconds: 1,
            ballast: 0,
            recipe: Recipe::default(),
            damage: None,
            interface: Interface::VirtioBlk,
            twin: false,
            words: Disk::words,
            append: "",
            memory: 1024,
        }
    }
}

/// An initrd of the tests.
#[derive(Clone)]
pub struct Initrd {
    pub path: PathBuf,
    /// Length of the archive before compression.
    pub bytes: usize,
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
        let initrd = self.initrd(&kernel);
        let mut disk = disk::make(&self.recipe).expect("a disk");
        let room = tempfile::tempdir_in(paths::output()).expect("a folder");
        if let Some(damage) = self.damage {
            disk = disk.copy(&room.path().join("disk.img")).expect("a copy");
            damage(&disk);
        }
        let words = (self.words)(&disk);
        let append = format!("{words} rd.earlytimeout=30 {}", self.append);
        let machine = Machine {
            interface: self.interface,
            twin: self.twin,
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
        let running = ready.machine.start().expect("QEMU");
        ready.stage2(running)
    }

    /// Boots, and expects this failure line (from `FAILED` on) and then a reboot.
    pub fn fails(&self, line: &str) -> Outcome {
        let outcome = self.ready().machine.run().expect("QEMU");
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

    fn initrd(&self, kernel: &Kernel) -> Initrd {
        static BUILT: Mutex<Option<HashMap<String, Initrd>>> = Mutex::new(None);
        let profile = self.profile();
        let key = cache::key(&[
            kernel.release.as_bytes(),
            profile.as_bytes(),
            &self.ballast.to_le_bytes(),
        ]);
        let mut built = BUILT
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let built = built.get_or_insert_default();
        let found = built.entry(key.clone());
        found
            .or_insert_with(|| self.build(kernel, &profile, &key))
            .clone()
    }

    fn build(&self, kernel: &Kernel, profile: &str, key: &str) -> Initrd {
        let folder = paths::output().join("tests");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{key}.img"));
        let profile_path = path.with_extension("toml");
        fs::write(&profile_path, profile).expect("a profile");
        let mut extra = Vec::new();
        if self.ballast > 0 {
            let ballast = path.with_extension("ballast");
            fs::write(&ballast, noise(self.ballast)).expect("ballast");
            extra.push(("/ballast".to_owned(), ballast));
        }
        let built = initrd::build(&Request {
            extra,
            ..Request::new(
                &kernel.modules_dir,
                profile_path,
                build::init("x86_64", &[]).expect("the init"),
            )
        })
        .expect("an initrd");
        built.write(&path).expect("an initrd");
        Initrd {
            path,
            bytes: built.manifest.totals.archive_bytes,
        }
    }

    /// The profile's text with what this boot changes in it.
    fn profile(&self) -> String {
        let path = paths::root().join("xtask/profiles").join(self.profile);
        let text = fs::read_to_string(&path).expect("a profile");
        let mut profile: toml::Table = text.parse().expect("a profile");
        let names = profile["modules"]["names"].as_array_mut().expect("names");
        names.extend(self.names.iter().map(|name| toml::Value::from(*name)));
        let emergency = profile["emergency"].as_table_mut().expect("emergency");
        emergency.insert(
            "prompt_seconds".to_owned(),
            i64::from(self.prompt_seconds).into(),
        );
        profile.to_string()
    }
}

impl Ready {
    /// Waits for the end of a machine that was started, and expects stage 2's report.
    pub fn stage2(self, running: Running) -> Booted {
        let outcome = running.finish().expect("QEMU");
        let Some(report) = outcome.report else {
            panic!(
                "stage 2 reported nothing; the console ended with\n{}",
                outcome.log.tail(60)
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

/// Bytes that no compression makes shorter: a xorshift sequence.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
