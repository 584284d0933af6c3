//! The profile: what an initrd is to hold and how it boots, as people write it (TOML).

mod mode;
mod origin;
mod verity;

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, ensure};
pub use mode::{Carry, Mode, Netboot, Root, Usr};
use origin::Origin;
pub use origin::explained;
use serde::Deserialize;
use toehold::asked::ACTIONS;
use toehold::format::plan::Key;
pub use verity::{HashOffset, OnCorruption, OnError, Verity};

/// What an initrd is made for. Unknown keys are refused.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub mode: Mode,
    #[serde(default)]
    pub modules: Modules,
    #[serde(default)]
    pub verity: Verity,
    pub usr: Option<Usr>,
    pub root: Option<Root>,
    pub netboot: Option<Netboot>,
    #[serde(default)]
    pub emergency: Emergency,
    #[serde(default)]
    pub cmdline: Cmdline,
    #[serde(skip)]
    origin: Origin,
}

/// Which kernel modules to take. Their dependencies, hard and soft, come along.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Modules {
    /// Glob patterns over paths below the modules directory, as in `kernel/drivers/ata/**`.
    pub paths: Vec<String>,
    /// Module names or aliases (`dm-verity`, `fs-btrfs`).
    pub names: Vec<String>,
    /// The same, for those that not every kernel has.
    pub optional: Vec<String>,
    /// The same, for those to be loaded without waiting for hardware.
    pub always: Vec<String>,
    /// Glob patterns that `paths` must not take; a dependency is taken all the same.
    pub exclude: Vec<String>,
    pub strip: Strip,
    pub pack: Pack,
    /// Bytes of modules in a group of the pack, instead of what they are made for; for comparisons, no key of a profile.
    #[serde(skip)]
    pub group_bytes: Option<u64>,
    /// Take the firmware files that the modules name.
    pub firmware: bool,
    /// Glob patterns of modules that a report names where hardware waits for one of them and the initrd does not have it. They need not match
    /// anything. By default what disks and keyboards hang on.
    #[serde(default = "known")]
    pub known: Vec<String>,
    /// Parameters by module name, as on insmod's command line.
    pub options: BTreeMap<String, String>,
    /// How many to load at a time, instead of as many as there are processors.
    pub jobs: Option<NonZeroU32>,
}

pub(crate) fn known() -> Vec<String> {
    const FOLDERS: &str =
        "ata,block,firewire,message,mmc,nvme,pci/controller,scsi,usb/host,usb/storage";
    // Beside them lies what neither a disk nor a keyboard hangs on: balloons, touch pads, clocks.
    const DRIVERS: &str = "hid/{hid-generic,hid-hyperv,usbhid/usbhid},hv/hv_vmbus,input/{keyboard/atkbd,serio/i8042,serio/hyperv-keyboard},virtio/virtio_{mmio,pci}";
    vec![
        format!("kernel/drivers/{{{FOLDERS}}}/**"),
        format!("kernel/drivers/{{{DRIVERS}}}.ko"),
    ]
}

/// Whether modules go into the module pack.
#[derive(Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pack {
    /// Those that not every boot loads, unless each is to be compressed by itself.
    #[default]
    Auto,
    /// All of them.
    Always,
    None,
}

/// Whether debug information and BTF are removed from modules.
#[derive(Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Strip {
    /// From modules without a signature.
    #[default]
    Auto,
    /// From all, which makes signatures worthless.
    Always,
    Never,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Emergency {
    /// What follows a failure: `reboot`, `poweroff`, `halt`, `panic`, or `shell`, which waits for a person.
    pub action: String,
    /// Seconds between the failure and the action, for a person to ask for a shell.
    pub prompt_seconds: u32,
    /// Whether the command line and the keyboard can open a shell.
    pub shell: bool,
    /// Path in the initrd to file on this machine, relative to the profile.
    pub extra_files: BTreeMap<String, String>,
}

/// What the kernel command line may say.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Cmdline {
    /// Refuse to boot when it would weaken verification or the policy after a failure. It takes a root hash, or its signature, in the
    /// profile, and no shell.
    pub locked: bool,
}

impl Default for Emergency {
    fn default() -> Self {
        Self {
            action: "reboot".to_owned(),
            prompt_seconds: 60,
            shell: true,
            extra_files: BTreeMap::new(),
        }
    }
}

impl Emergency {
    /// The number that the init knows the action by.
    fn action(&self) -> Option<u32> {
        let mut all = (0..).zip(actions());
        all.find_map(|(number, action)| (action == self.action).then_some(number))
    }

    /// The shell that it brings.
    fn program(&self) -> Option<&'static str> {
        let mut shells = SHELLS.into_iter();
        shells.find(|shell| self.extra_files.contains_key(*shell))
    }
}

/// What can follow a failure, in the order in which the init counts.
fn actions() -> impl Iterator<Item = &'static str> {
    let names = ACTIONS.split(|byte| *byte == b' ');
    names.filter_map(|name| str::from_utf8(name).ok())
}

/// Shells, the first of which that an initrd has is what opens in an emergency. Busybox is one when it is called `sh`.
const SHELLS: [&str; 3] = ["/bin/sh", "/bin/bash", "/bin/busybox"];

impl Profile {
    /// Reads and checks a profile.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read profile {}", path.display()))?;
        let origin = Origin::new(path, &text);
        match Self::parse(&text) {
            Ok(profile) => Ok(Self { origin, ..profile }),
            Err(error) => Err(origin.place(error)),
        }
    }

    /// The same of its text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let profile: Self = toml::from_str(text).map_err(|error| explained(&error))?;
        profile.check()?;
        Ok(profile)
    }

    /// What is wrong with it, with its file and line.
    pub fn place(&self, error: Error) -> Error {
        self.origin.place(error)
    }

    /// The files that it brings: the path in the initrd, and the file, which is there. `profile` is where it lies.
    pub fn extra_files(&self, profile: &Path) -> Result<Vec<(&String, PathBuf)>> {
        let files = self.find_extra_files(profile);
        files.map_err(|error| self.place(error))
    }

    fn find_extra_files(&self, profile: &Path) -> Result<Vec<(&String, PathBuf)>> {
        let beside = profile.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        for (path, file) in &self.emergency.extra_files {
            let file = beside.join(file);
            ensure!(
                file.is_file(),
                "emergency.extra_files: {path}: there is no file {}",
                file.display()
            );
            self.verity.check_signature(path, &file)?;
            files.push((path, file));
        }
        Ok(files)
    }

    fn check(&self) -> Result<()> {
        self.check_mode()?;
        let action = &self.emergency.action;
        ensure!(
            self.emergency.action().is_some(),
            "emergency.action = \"{action}\": the actions are {}",
            actions().collect::<Vec<_>>().join(", ")
        );
        ensure!(
            self.emergency.shell || action != "shell",
            "emergency.action = \"shell\" and emergency.shell = false contradict each other"
        );
        self.verity.check()?;
        if self.cmdline.locked {
            self.check_lock()?;
        }
        Ok(())
    }

    /// Refuses a lock beside which the command line or the keyboard decides after all.
    fn check_lock(&self) -> Result<()> {
        ensure!(
            !self.emergency.shell,
            "cmdline.locked = true and emergency.shell = true: a word that is refused would lead to a shell; set emergency.shell = false"
        );
        ensure!(
            self.verity.root_hash.is_some() || self.verity.root_hash_signature.is_some(),
            "cmdline.locked = true without verity.root_hash or verity.root_hash_signature: the command line would decide what is verified; \
             set one of them"
        );
        Ok(())
    }

    /// The settings that go into the plan.
    pub fn settings(&self, release: &str) -> Vec<(Key, Vec<u8>)> {
        let text = |text: &str| text.as_bytes().to_vec();
        let mut settings = vec![(Key::Release, text(release))];
        settings.extend(self.verity.settings(self.mode));
        if self.cmdline.locked {
            settings.push((Key::Locked, Vec::new()));
        }
        settings.extend(self.mode_settings());
        let seconds = self.emergency.prompt_seconds.to_le_bytes().to_vec();
        settings.push((Key::PromptSeconds, seconds));
        if let Some(action @ 1..) = self.emergency.action() {
            settings.push((Key::Action, action.to_le_bytes().to_vec()));
        }
        if !self.emergency.shell {
            settings.push((Key::NoShell, Vec::new()));
        }
        if let Some(shell) = self.emergency.program() {
            settings.push((Key::Shell, text(shell)));
        }
        if let Some(jobs) = self.modules.jobs {
            settings.push((Key::Jobs, jobs.get().to_le_bytes().to_vec()));
        }
        settings
    }
}

#[cfg(test)]
pub mod tests;
