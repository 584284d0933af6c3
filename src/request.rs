//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::asked::{Asked, Text, Word};
use crate::failure::Stage;
use crate::format::plan::{Key, Plan};
use crate::format::verity::{Parameter, Parameters, is_root_hash};
use crate::spec::Spec;
use crate::text::{Line, after, decimal, is_same, push};

/// For a role that there is not.
static NOTHING: Spec = Spec::NONE;

/// The devices that the boot waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// What holds /usr: the filesystem, or the data that verity protects.
    Data,
    /// The hash tree, where that is on a device of its own.
    Tree,
    /// The blocks for error correction.
    Correction,
}

/// All of them.
pub const ROLES: [Role; 3] = [Role::Data, Role::Tree, Role::Correction];

/// The number behind theirs: the partition that the EFI boot loader came from.
pub const LOADER: u64 = ROLES.len() as u64;

/// Words that a locked profile refuses. Options of a filesystem can bring other devices in (btrfs:
/// `device=`), and some filesystems need none.
const UNLOCKED: [Word; 7] = [
    Word::Fstype,
    Word::MountOptions,
    Word::Breakpoints,
    Word::Emergency,
    Word::Init,
    Word::VerityOptions,
    Word::Blacklist,
];

/// Why a command line is refused: the stage that could not work, and the word or the option of
/// verity that is missing or wrong.
pub type Refused = (Stage, Text);

/// What the boot is to do. It is read once; nothing changes it afterwards.
pub struct Request {
    /// What the command line says by itself.
    pub asked: Asked,
    /// What is looked for, one for each [`Role`], and behind them the partition that the EFI boot
    /// loader came from, where that is asked for.
    specs: [Spec; ROLES.len() + 1],
    /// Seconds to wait for the devices.
    pub timeout: u64,
    /// Hexadecimal; absent: there is to be no verity device.
    pub root_hash: Option<Text>,
    /// What is said of the verity device.
    pub parameters: Parameters<'static>,
}

impl Request {
    /// Nothing is asked for.
    pub const NONE: Self = Self {
        asked: Asked::NONE,
        specs: [const { Spec::NONE }; ROLES.len() + 1],
        timeout: 0,
        root_hash: None,
        parameters: Parameters::NONE,
    };

    /// Reads the command line (the other line is what was set at the rescue console), and refuses
    /// what would end in booting something unverified that was asked to be verified. Each list of
    /// modules that hardware is not to get goes to `bar`.
    pub fn read(
        &mut self,
        lines: [Text; 2],
        plan: &Plan<'static>,
        bar: &mut dyn FnMut(Text),
    ) -> Result<(), Refused> {
        self.asked.parse(plan.setting(Key::Words), lines, bar);
        self.decide(plan)
    }

    fn decide(&mut self, plan: &Plan<'static>) -> Result<(), Refused> {
        if let Some(stray) = self.asked.get(Word::Stray) {
            return Err((Stage::Verity, stray));
        }
        let Some(timeout) = decimal(self.asked.value(Word::Timeout)) else {
            return Err((Stage::Device, self.asked.name(Word::Timeout)));
        };
        self.timeout = timeout;
        let mount = self.asked.get(Word::Mount);
        // With verity, only the verified device can be mounted, and without it there is no such
        // device.
        let mounts_verified = mount
            .is_some_and(|device| after(device, b"/dev/mapper/") == plan.setting(Key::VerityName));
        let is_required =
            plan.setting(Key::VerityRequired).is_some() || plan.setting(Key::Locked).is_some();
        let (stage, result) = if is_required || mounts_verified || self.asked.is_about_verity() {
            let is_other = mount.is_some() && !mounts_verified;
            (Stage::Verity, self.verify(plan, is_other))
        } else if mount.is_none() && plan.setting(Key::Netboot).is_some() {
            return Ok(());
        } else {
            let result = self.look_for(Role::Data, [Word::Mount; 2], None);
            (Stage::Device, result)
        };
        result.map_err(|word| (stage, word))
    }

    /// Verification is asked for. `is_other`: something else than the verified device is to be
    /// mounted.
    fn verify(&mut self, plan: &Plan<'static>, is_other: bool) -> Result<(), Text> {
        let pinned = plan.setting(Key::RootHash);
        let given = self.asked.get(Word::RootHash);
        let root_hash = given.or(pinned).unwrap_or_default();
        let other = |pinned: Text| !is_same(pinned, root_hash);
        if !is_root_hash(root_hash) || pinned.is_some_and(other) {
            return Err(self.asked.name(Word::RootHash));
        }
        if is_other {
            return Err(self.asked.name(Word::Mount));
        }
        if plan.setting(Key::Locked).is_some() {
            for &word in &UNLOCKED {
                if self.asked.value(word) != word.default() {
                    return Err(self.asked.name(word));
                }
            }
        }
        self.root_hash = Some(root_hash);
        self.parameters.read(plan.text(Key::VerityOptions))?;
        self.parameters
            .read(self.asked.value(Word::VerityOptions))?;
        let [data, tree] = [[Word::Verity, Word::Data], [Word::Tree, Word::Verity]];
        self.look_for(Role::Data, data, root_hash.first_chunk())?;
        self.look_for(Role::Tree, tree, root_hash.last_chunk())?;
        if let Some(device) = self.parameters.get(Parameter::FecDevice) {
            self.read_spec(Role::Correction, device).ok_or(device)?;
        }
        let [data, tree, ..] = &mut self.specs;
        if tree.text == data.text {
            tree.text.clear();
        }
        Ok(())
    }

    /// What is looked for in this role.
    pub fn spec(&self, role: Role) -> &Spec {
        self.specs.get(role as usize).unwrap_or(&NOTHING)
    }

    /// What is looked for, in the order of [`ROLES`], and what [`LOADER`] is the number of.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    fn read_spec(&mut self, role: Role, text: &[u8]) -> Option<()> {
        self.specs.get_mut(role as usize)?.read(text)
    }

    /// Has the boot loader's partition looked for, too.
    pub fn look_for_loader(&mut self, text: &[u8]) -> Option<()> {
        let [.., loader] = &mut self.specs;
        loader.read(text)
    }

    /// Whether /usr is an image in the initramfs: no device is looked for.
    pub fn is_netboot(&self) -> bool {
        self.spec(Role::Data).text.is_empty()
    }

    /// Reads the SPEC that the first of two words has, or the second. If there is none, it is the
    /// partition whose PARTUUID is a part of the root hash. The error is the name of the first
    /// word.
    ///
    /// Source: systemd-veritysetup-generator(8), the Discoverable Partitions Specification.
    fn look_for(
        &mut self,
        role: Role,
        words: [Word; 2],
        derived: Option<&[u8; 32]>,
    ) -> Result<(), Text> {
        let [first, second] = words;
        let mut text = Line::new();
        if let Some(spec) = self.asked.get(first).or(self.asked.get(second)) {
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
        self.read_spec(role, &text).ok_or(self.asked.name(first))
    }
}

#[cfg(test)]
mod near_misses;
#[cfg(test)]
mod tests;
