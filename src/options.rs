//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::failure::Stage;
use crate::format::plan::{Key, Plan};
use crate::format::verity::{Parameter, Target, is_root_hash};
use crate::format::{cmdline, push_groups};
use crate::spec::Spec;
use crate::text::{Line, after, decimal, is_same, position, push, word};

/// Words that we take: first one for each [`Word`], in its order, then other names.
const WORDS: &[u8] = b"verity.usr verity.usrhash mount.usr mount.usrfstype mount.usrflags rd.earlytimeout \
systemd.verity_usr_data systemd.verity_usr_hash systemd.verity_usr_options usrhash usr usrfstype usrflags";
/// How far an other name's place is from its word's.
const ALIAS: usize = 8;

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
    /// As in veritytab(5).
    VerityOptions,
}

impl Word {
    /// As it stands on the command line.
    pub fn name(self) -> Text {
        word(WORDS, self as usize)
    }
}

const COUNT: usize = Word::VerityOptions as usize + 1;

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
            values: [None; COUNT],
            specs: [const { Spec::NONE }; 4],
            timeout: 0,
            target: Target::NONE,
        }
    }

    /// Reads the command line, and refuses what would end in booting something unverified that was asked to be verified.
    /// The error is the word or the verity option that is missing or wrong, and `stage` the stage that could not work.
    pub fn read(
        &mut self,
        line: Text,
        plan: &Plan<'static>,
        stage: &mut Stage,
    ) -> Result<(), Text> {
        for word in cmdline::words(line) {
            let mut place = position(WORDS, word.name);
            if place >= COUNT {
                place -= ALIAS;
            }
            if let (Some(value), Some(_)) = (self.values.get_mut(place), word.value) {
                *value = word.value;
            }
        }
        *stage = Stage::Device;
        self.timeout = decimal(self.value(Word::Timeout, b"300")).ok_or(Word::Timeout.name())?;
        if self.asks_for_verity(plan) {
            *stage = Stage::Verity;
            self.protect(plan)
        } else {
            self.look_for(Role::Data, Word::Mount)
        }
    }

    fn get(&self, word: Word) -> Option<Text> {
        self.values.get(word as usize).copied().flatten()
    }

    /// What the command line gives for a word, or else the default.
    pub fn value(&self, word: Word, default: Text) -> Text {
        self.get(word).unwrap_or(default)
    }

    /// The device for a role.
    pub fn spec(&self, role: Role) -> &Spec {
        self.specs.get(role as usize).unwrap_or(&NOTHING)
    }

    /// With verity, only the verified device can be mounted, and without it there is no such device.
    fn mounts_verified(&self, plan: &Plan) -> bool {
        self.get(Word::Mount)
            .is_some_and(|device| after(device, b"/dev/mapper/") == plan.setting(Key::VerityName))
    }

    fn asks_for_verity(&self, plan: &Plan) -> bool {
        let words = [
            Word::Verity,
            Word::RootHash,
            Word::Data,
            Word::Tree,
            Word::VerityOptions,
        ];
        let settings = [Key::VerityRequired, Key::Locked, Key::RootHash];
        words.iter().any(|word| self.get(*word).is_some())
            || settings.iter().any(|key| plan.setting(*key).is_some())
            || self.mounts_verified(plan)
    }

    /// Takes in everything about verity.
    fn protect(&mut self, plan: &Plan<'static>) -> Result<(), Text> {
        let pinned = plan.setting(Key::RootHash);
        let root_hash = self.get(Word::RootHash).or(pinned).unwrap_or_default();
        let other = |pinned: Text| !is_same(pinned, root_hash);
        if !is_root_hash(root_hash) || pinned.is_some_and(other) {
            return Err(Word::RootHash.name());
        }
        if self.get(Word::Mount).is_some() && !self.mounts_verified(plan) {
            return Err(Word::Mount.name());
        }
        self.target.root_hash = Some(root_hash);
        self.target.parameters.read(plan.text(Key::VerityOptions))?;
        if let Some(list) = self.get(Word::VerityOptions) {
            if plan.setting(Key::Locked).is_some() {
                return Err(Word::VerityOptions.name());
            }
            self.target.parameters.read(list)?;
        }

        if self.get(Word::Verity).is_some() {
            self.look_for(Role::Data, Word::Verity)?;
        } else if self.get(Word::Data).is_some() {
            self.look_for(Role::Data, Word::Data)?;
        } else {
            self.derive(Role::Data, root_hash.get(..32))?;
        }
        if self.get(Word::Tree).is_some() {
            self.look_for(Role::Tree, Word::Tree)?;
        } else if self.get(Word::Verity).is_none() {
            self.derive(
                Role::Tree,
                root_hash
                    .len()
                    .checked_sub(32)
                    .and_then(|at| root_hash.get(at..)),
            )?;
        }
        if let Some(device) = self.target.parameters.get(Parameter::FecDevice) {
            self.read_spec(Role::Correction, device).ok_or(device)?;
        }
        let [data, tree, ..] = &mut self.specs;
        if tree.text == data.text {
            tree.text.clear();
        }
        Ok(())
    }

    /// Reads a SPEC.
    pub fn read_spec(&mut self, role: Role, text: &[u8]) -> Option<()> {
        self.specs.get_mut(role as usize)?.read(text)
    }

    fn look_for(&mut self, role: Role, word: Word) -> Result<(), Text> {
        let text = self.get(word).ok_or(word.name())?;
        self.read_spec(role, text).ok_or(word.name())
    }

    /// The partition whose PARTUUID is a part of the root hash, 32 digits of it. Source: systemd-veritysetup-generator(8), the Discoverable
    /// Partitions Specification.
    fn derive(&mut self, role: Role, digits: Option<&[u8]>) -> Result<(), Text> {
        let mut text = Line::new();
        push(&mut text, b"PARTUUID=");
        push_groups(&mut text, digits.unwrap_or_default());
        self.read_spec(role, &text).ok_or(Word::Verity.name())
    }
}

#[cfg(test)]
mod tests;
