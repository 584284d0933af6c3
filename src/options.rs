//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::failure::Stage;
use crate::format::cmdline;
use crate::format::plan::{Key, Plan};
use crate::format::verity::{Parameter, Target, is_root_hash};
use crate::schedule::{Schedule, State};
use crate::spec::Spec;
use crate::text::{self, Line, after, decimal, is_same, position, push, split, word};
use core::ops::RangeInclusive;

/// Words that an init takes which mounts /usr: first one for each [`Word`], in its order, then other names. The plan has them. No word of a
/// command line can be called `==`.
pub const USR_WORDS: &[u8] = b"verity.usr verity.usrhash mount.usr mount.usrfstype mount.usrflags rd.earlytimeout \
systemd.verity_usr_data systemd.verity_usr_hash rd.earlytrace rd.earlyshell rd.shell rd.emergency == systemd.verity_usr_options \
modprobe.blacklist usrhash usr usrfstype usrflags";

/// The same for one that mounts the root itself.
pub const ROOT_WORDS: &[u8] = b"verity.root roothash root rootfstype rootflags rd.earlytimeout \
systemd.verity_root_data systemd.verity_root_hash rd.earlytrace rd.earlyshell rd.shell rd.emergency init systemd.verity_root_options \
modprobe.blacklist";

/// How far an other name's place is from its word's.
const ALIAS: usize = 14;

/// Those of [`Word`] that ask for verity, a bit each.
const ABOUT_VERITY: u32 = 0b10_0000_1100_0011;

/// The first and the last of [`Word`] that need no value.
const ALONE: RangeInclusive<usize> = Word::Trace as usize..=Word::Breakpoints as usize;

/// The values that the command line can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Word {
    /// SPEC of the device with data and hash tree.
    Verity,
    /// Hexadecimal.
    RootHash,
    /// SPEC of what to mount.
    Mount,
    /// For mount(2), or `auto`.
    Fstype,
    /// As fstab would have them.
    MountOptions,
    /// Seconds to wait for a device.
    Timeout,
    /// SPEC of the device with the data.
    Data,
    /// SPEC of the device with the hash tree.
    Tree,
    /// Whether system calls are traced: `0`: no; `file`: also into a file. The word alone is enough.
    Trace,
    /// Where to stop for a person: digits of breakpoints, or all of them. The word alone is enough.
    Breakpoints,
    /// `0`: no shell, whatever happens.
    Shell,
    /// One of [`ACTIONS`].
    Emergency,
    /// Program to execute in the root, absolute.
    Init,
    /// As in veritytab(5).
    VerityOptions,
    /// Names of modules, a comma between them, that hardware is not to ask for. Each list adds to those before.
    Blacklist,
}

/// What can follow a failure.
pub const ACTIONS: &[u8] = b"reboot poweroff halt panic shell";
/// The last of them: wait for a person, however long.
pub const SHELL: usize = 4;

/// For each [`Stage`] the digit of the breakpoint before it, or `-`.
const BREAKPOINTS: [u8; 7] = *b"-1-23-4";

impl Word {
    /// What it is where the command line does not have it.
    fn default(self) -> Text {
        word(b"- - - auto ro 300 - - 0 . - -   ", self as usize)
    }
}

const COUNT: usize = Word::Blacklist as usize + 1;

type Text = &'static [u8];

/// For no role.
static NOTHING: Spec = Spec::NONE;

/// The devices that are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// What holds /usr: the filesystem, or the data that verity protects.
    Data,
    /// The hash tree, where that is on a device of its own.
    Tree,
    /// The blocks for error correction.
    Correction,
    /// The partition that the EFI boot loader came from. It is not waited for.
    Loader,
}

/// Those that the boot waits for.
pub const AWAITED: [Role; 3] = [Role::Data, Role::Tree, Role::Correction];

/// Everything that the command line says.
pub struct Options {
    /// As the command line spells each [`Word`].
    words: Option<Text>,
    values: [Option<Text>; COUNT],
    /// One for each [`Role`].
    pub specs: [Spec; 4],
    /// Seconds to wait for the devices.
    pub timeout: u64,
    /// What the verity device is to be, as far as it is told.
    pub target: Target<'static>,
}

impl Options {
    /// Of an empty command line.
    pub const fn none() -> Self {
        Self {
            words: None,
            values: [None; COUNT],
            specs: [const { Spec::NONE }; 4],
            timeout: 0,
            target: Target::NONE,
        }
    }

    /// Reads the command line and what stands behind it, bars the modules that it names, and refuses what would end in booting something unverified that was asked to be verified.
    /// The error is the word or the verity option that is missing or wrong, and `stage` the stage that could not work.
    pub fn read(
        &mut self,
        line: Text,
        more: Text,
        plan: &Plan<'static>,
        schedule: &mut Schedule,
        stage: &mut Stage,
    ) -> Result<(), Text> {
        self.words = plan.setting(Key::Words);
        let mut verity = plan.setting(Key::VerityRequired).is_some();
        for words in &[line, more] {
            for word in cmdline::words(words) {
                let mut place = position(self.words.unwrap_or_default(), word.name);
                if place >= COUNT {
                    place -= ALIAS;
                }
                let alone = ALONE.contains(&place).then_some(b"".as_slice());
                if let (Some(value), Some(given)) =
                    (self.values.get_mut(place), word.value.or(alone))
                {
                    *value = Some(given);
                    verity |= ABOUT_VERITY >> place & 1 != 0;
                    if place == Word::Blacklist as usize {
                        for name in split(given, b',') {
                            plan.resolve(name, &mut |index| {
                                schedule.ask(index, State::BARRED);
                            });
                        }
                    }
                }
            }
        }
        *stage = Stage::Device;
        let Some(timeout) = decimal(self.value(Word::Timeout)) else {
            return Err(self.name(Word::Timeout));
        };
        self.timeout = timeout;
        // With verity, only the verified device can be mounted, and without it there is no such device.
        let mount = self.get(Word::Mount);
        let mounts_verified = mount
            .is_some_and(|device| after(device, b"/dev/mapper/") == plan.setting(Key::VerityName));
        if !verity && !mounts_verified {
            if mount.is_none() && plan.setting(Key::Netboot).is_some() {
                return Ok(());
            }
            return self.look_for(Role::Data, [Word::Mount; 2], None);
        }
        *stage = Stage::Verity;
        let pinned = plan.setting(Key::RootHash);
        let root_hash = self.get(Word::RootHash).or(pinned).unwrap_or_default();
        let other = |pinned: Text| !is_same(pinned, root_hash);
        if !is_root_hash(root_hash) || pinned.is_some_and(other) {
            return Err(self.name(Word::RootHash));
        }
        if mount.is_some() && !mounts_verified {
            return Err(self.name(Word::Mount));
        }
        if plan.setting(Key::Locked).is_some() {
            // Options of a filesystem can bring other devices in (btrfs: `device=`), and some filesystems need none.
            for &word in &[
                Word::Fstype,
                Word::MountOptions,
                Word::Breakpoints,
                Word::Emergency,
                Word::Init,
                Word::VerityOptions,
            ] {
                if self.value(word) != word.default() {
                    return Err(self.name(word));
                }
            }
        }
        let target = &mut self.target;
        target.root_hash = Some(root_hash);
        target.parameters.read(plan.text(Key::VerityOptions))?;
        if let [.., Some(list), _] = self.values {
            target.parameters.read(list)?;
        }
        let correction = target.parameters.get(Parameter::FecDevice);
        self.look_for(
            Role::Data,
            [Word::Verity, Word::Data],
            root_hash.first_chunk(),
        )?;
        self.look_for(
            Role::Tree,
            [Word::Tree, Word::Verity],
            root_hash.last_chunk(),
        )?;
        if let Some(device) = correction {
            self.read_spec(Role::Correction, device).ok_or(device)?;
        }
        let [data, tree, ..] = &mut self.specs;
        if tree.text == data.text {
            tree.text.clear();
        }
        Ok(())
    }

    /// A word as it stands on the command line.
    fn name(&self, word: Word) -> Text {
        text::word(self.words.unwrap_or_default(), word as usize)
    }

    #[inline(never)] // Measured: smaller so.
    fn get(&self, word: Word) -> Option<Text> {
        self.values.get(word as usize).copied().flatten()
    }

    /// What the command line gives for a word, or else the default.
    pub fn value(&self, word: Word) -> Text {
        self.get(word).unwrap_or(word.default())
    }

    /// The digit of the breakpoint before a stage, if the boot is to stop there.
    pub fn breakpoint(&self, stage: Stage) -> Option<u8> {
        let wanted = self.value(Word::Breakpoints);
        let point = BREAKPOINTS.get(stage as usize).copied();
        // Not `contains`: that is 250 bytes of a search for long texts.
        let is_wanted = |point: &u8| wanted.is_empty() || wanted.iter().any(|byte| byte == point);
        point.filter(|point| *point != b'-' && is_wanted(point))
    }

    /// The device for a role.
    pub fn spec(&self, role: Role) -> &Spec {
        self.specs.get(role as usize).unwrap_or(&NOTHING)
    }

    /// Reads a SPEC.
    pub fn read_spec(&mut self, role: Role, text: &[u8]) -> Option<()> {
        self.specs.get_mut(role as usize)?.read(text)
    }

    /// Reads the SPEC that the first of two words has, or the second. If there is none, it is the partition whose PARTUUID is a part of the root
    /// hash. Source: systemd-veritysetup-generator(8), the Discoverable Partitions Specification.
    fn look_for(
        &mut self,
        role: Role,
        words: [Word; 2],
        derived: Option<&[u8; 32]>,
    ) -> Result<(), Text> {
        let [first, second] = words;
        let mut text = Line::new();
        if let Some(spec) = self.get(first).or(self.get(second)) {
            push(&mut text, spec);
        } else {
            push(&mut text, b"PARTUUID=");
            for (place, digit) in derived.into_iter().flatten().enumerate() {
                if matches!(place, 8 | 12 | 16 | 20) {
                    push(&mut text, b"-");
                }
                push(&mut text, &[*digit]);
            }
        }
        self.read_spec(role, &text).ok_or(self.name(first))
    }
}

#[cfg(test)]
mod tests;
