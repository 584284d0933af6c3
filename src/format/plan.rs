//! The plan: what the builder decided when the initrd was made, read in place by the init.
//!
//! One file, `/toehold.plan` in the initrd, holds the modules in dependency order, their aliases,
//! and the profile's settings, so that one init binary serves every image. All integers are little
//! endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `"toehold\0"` |
//! | 8 | 4 | version, 3 |
//! | 12 | 4 | length of the whole file |
//! | 16 | 4 | CRC-32 (IEEE) of everything from offset 20 on |
//! | 20 | 4 | length of the module section |
//! | 24 | 4 | length of the alias section |
//! | 28 | | module section, alias section, settings (to the end of the file) |
//!
//! A *number* is an unsigned LEB128 of at most 64 bits: seven bits in each byte, the lowest first,
//! the top bit set in all but the last byte. A *string* is a number and as many bytes.
//!
//! **Modules**, in topological order: a module stands after everything that it depends on. Each is
//! `flags: u8, name: string, options: string, dependencies: u8, dependency: u16 …`. The name is the
//! kernel's own, without `-`, and the file's stem (`/lib/modules/NAME.ko`, or as [`Key::Suffix`]
//! says), the options are finit_module's `param_values`. Those that only serve people at the
//! console ([`CONSOLE`]) stand after all others that they do not belong to. A dependency is the
//! number of an earlier module; with [`SOFT`] set its failure is no reason not to load this one.
//!
//! A [`GROUP`] of the [`module pack`](super::pack) is told as a module that those in it depend on,
//! before all else that they do: unpacking it is what comes before loading them. It stands before
//! the first of them, so that its turn comes with theirs. Groups are in the order of the pack, and
//! the modules of each in the order of the plan.
//!
//! **Aliases** are grouped by what they look like, because most of a kernel's thousands differ in a
//! vendor's and a device's number only. A group is `shape: string, sets: string`. The shape is a
//! shell pattern (see [`glob`]) with [`glob::DIGIT`] in place of some digits; the digits that a
//! modalias has there are its *key*. A set is `module: number, keys: string`: the module's place
//! counted from the previous set's in the group (the first from 0), and its keys as ascending
//! numbers, each counted from the one before. An alias without digits is a shape of its own, with
//! the one key 0. So `pci:v00008086d00002922sv*sd*bc*sc*i*` is key 0x80862922 of the shape
//! `pci:v0000····d0000····sv*sd*bc*sc*i*`. Digits behind a `*` are taken only from aliases whose
//! fields are fixed (as for `hid:`), so that there is one way to match. A look-up compares a few
//! hundred shapes, most of them by their first byte, and searches the keys of those that match.
//!
//! **Settings** are `key: u8, value: string`, each key once at most. See [`Key`].

mod aliases;
mod modules;
#[cfg(test)]
pub mod sample;

use super::{crc32::crc32, glob, little_endian, u32_at};
pub use aliases::{Group, Set};
use core::ffi::CStr;
pub use modules::Module;
use modules::module;

pub const MAGIC: [u8; 8] = *b"toehold\0";
/// Raised when an older init would misread the format.
pub const VERSION: u32 = 4;
/// Bytes before the module section.
pub const HEADER: usize = 28;
/// Where the plan lies in the initrd.
pub const PATH: &CStr = c"/toehold.plan";

/// Set in a dependency's number: load it before, but do not insist.
pub const SOFT: u16 = 0x8000;
/// Module flag: load without waiting for hardware.
pub const ALWAYS: u8 = 1;
/// Module flag: a driver for people at the console (keyboards, screens), which no way to a disk
/// leads through.
pub const CONSOLE: u8 = 2;
/// Module flag: the module is not in the initrd. The plan knows it by name so that a report can say
/// which driver is missing. It is never loaded, and only its aliases of hardware are there.
pub const ABSENT: u8 = 4;
/// Module flag: a console can hang on it: what [`CONSOLE`] has, USB host controllers, the PCI side
/// of virtio. To be loaded before anything waits for a person.
pub const ATTEND: u8 = 8;
/// Module flag: no module, but a group of them in the module pack.
pub const GROUP: u8 = 16;

/// More modules than any kernel has. The init has an entry of eight bytes for each, in zeroed
/// memory.
pub const MAX_MODULES: usize = 8192;

/// What a setting means. Numbers are part of the format: never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Key {
    /// Kernel release that the modules were built for, as `uname -r` prints it.
    Release = 1,
    /// Device-mapper name of the verity device.
    VerityName = 2,
    /// Present (and empty): refuse to boot without a root hash.
    VerityRequired = 3,
    /// Where /usr is mounted, absolute; or where the filesystem that is to be the root is.
    Mountpoint = 6,
    /// Stage-2 image, relative to /usr's mount point; absent where what is mounted there is the
    /// root itself.
    Image = 7,
    /// Mount data of the tmpfs above the stage-2 image or the root (`mode=0755,size=50%`); absent
    /// for none.
    OverlayOptions = 8,
    /// Program to execute in stage 2, absolute, where the command line does not name one.
    Init = 9,
    /// u32: seconds between a failure and the reboot.
    PromptSeconds = 10,
    /// What follows a module's name in its file's: `.ko`, or `.ko.gz`, `.ko.xz`, `.ko.zst`, to be
    /// decompressed by the kernel.
    Suffix = 11,
    /// u32: modules to load at a time; absent for as many as there are processors.
    Jobs = 12,
    /// Everything that is said of the verity device, as veritytab(5) spells it:
    /// `panic-on-corruption,data-blocks=260094`. The command line can say more.
    VerityOptions = 13,
    /// u64: where the verity superblock lies on the data's own device, in bytes, if no option and
    /// no filesystem tells.
    HashOffsetFallback = 14,
    /// Present (and empty): as [`Key::VerityRequired`], and the command line cannot add to
    /// [`Key::VerityOptions`].
    Locked = 15,
    /// Hexadecimal: the only root hash that is taken. The command line need not give it.
    RootHash = 16,
    /// u32: what follows a failure, as [`ACTIONS`](crate::asked::ACTIONS) counts; absent for a
    /// reboot.
    Action = 17,
    /// Present (and empty): nothing opens a shell.
    NoShell = 18,
    /// The shell in the initrd, absolute; absent for the rescue console.
    Shell = 19,
    /// The words of the command line that the init takes: [`USR_WORDS`](crate::asked::USR_WORDS) or
    /// [`ROOT_WORDS`](crate::asked::ROOT_WORDS).
    Words = 20,
    /// Image in the initramfs to mount instead of a device, absolute, where the command line names
    /// none.
    Netboot = 21,
    /// What of the initramfs is taken over then: paths, absolute, a blank between them. There can
    /// be other names for each, a comma between them: the first that is there and no empty
    /// directory is what is at the first in stage 2.
    Carry = 22,
    /// What udev in stage 2 is told of the verity device: a file of rules.
    UdevRule = 23,
}

/// More than any number of a [`Key`].
const KEYS: usize = Key::UdevRule as usize + 1;

/// Settings without which there is no boot.
const REQUIRED: [Key; 6] = [
    Key::Release,
    Key::VerityName,
    Key::Mountpoint,
    Key::Init,
    Key::Suffix,
    Key::Words,
];

/// The settings that are required, as a set: bit N stands for the key with the number N.
const MISSING: u32 = {
    let (mut bits, mut place) = (0, 0);
    while place < REQUIRED.len() {
        bits |= 1 << REQUIRED[place] as u8;
        place += 1;
    }
    bits
};

/// Why a plan was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Shorter than its header says, or than a header is.
    Truncated,
    /// No plan at all, or one of another version.
    Magic,
    /// The checksum does not hold.
    Checksum,
    /// A section that does not add up, or a setting that is missing.
    Structure,
}

/// A plan whose header, checksum and settings have been checked: what it says of modules is what
/// the builder wrote.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    modules: Option<&'a [u8]>,
    aliases: Option<&'a [u8]>,
    /// The value of each setting, at the place that its key's number says.
    settings: [Option<&'a [u8]>; KEYS],
}

/// Splits a number off the front of some bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes.split_off_first()?;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Splits a string off the front of some bytes.
fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = number(bytes)?;
    bytes.split_off(..usize::try_from(len).ok()?)
}

impl<'a> Plan<'a> {
    /// The plan of an init that has not read one.
    pub const NONE: Self = Self {
        modules: None,
        aliases: None,
        settings: [None; KEYS],
    };

    /// Checks and opens a plan.
    pub fn parse(file: &'a [u8]) -> Result<Self, Refused> {
        let mut plan = Self::NONE;
        plan.open(file)?;
        Ok(plan)
    }

    /// As [`Plan::parse`], but into an existing [`Plan::NONE`], because moving a plan costs code. A
    /// plan that is refused has no modules.
    #[inline(always)] // size: inline
    pub fn open(&mut self, file: &'a [u8]) -> Result<(), Refused> {
        let header: &[u8; HEADER] = file.first_chunk().ok_or(Refused::Truncated)?;
        let field = |offset| u32_at(header, offset);
        if !header.starts_with(&MAGIC) || field(8) != VERSION {
            return Err(Refused::Magic);
        }
        let file = file.get(..field(12) as usize).ok_or(Refused::Truncated)?;
        if crc32(file.get(20..).ok_or(Refused::Truncated)?) != field(16) {
            return Err(Refused::Checksum);
        }
        let mut rest = file.get(HEADER..).ok_or(Refused::Truncated)?;
        let mut section = |len: u32| rest.split_off(..len as usize).ok_or(Refused::Structure);
        let (modules, aliases) = (section(field(20))?, section(field(24))?);
        let mut missing = MISSING;
        while let Some(key) = rest.split_off_first() {
            let value = string(&mut rest).ok_or(Refused::Structure)?;
            if let Some(place) = self.settings.get_mut(usize::from(*key)) {
                *place = Some(value);
                missing &= !(1 << key);
            }
        }
        if missing != 0 {
            return Err(Refused::Structure);
        }
        self.modules = Some(modules);
        self.aliases = Some(aliases);
        Ok(())
    }

    /// All modules in dependency order; a module's number is its place here.
    pub fn modules(&self) -> impl Iterator<Item = Module<'a>> + use<'a> {
        let (mut rest, mut count) = (self.modules.unwrap_or_default(), 0);
        core::iter::from_fn(move || {
            count += 1;
            module(&mut rest, count - 1)
        })
    }

    /// The groups of the module pack, in its order, by their numbers here.
    pub fn groups_of_pack(&self) -> impl Iterator<Item = usize> + use<'a> {
        let groups = self.modules().filter(|module| module.flags & GROUP != 0);
        groups.map(|group| group.number)
    }

    /// How many groups of the module pack stand before this place: all of those that come earlier
    /// in the pack.
    pub fn groups_before(&self, number: usize) -> usize {
        let before = self.modules().take(number);
        before.filter(|module| module.flags & GROUP != 0).count()
    }

    /// The text of a setting; empty if the plan does not have it.
    #[inline(never)] // size: inline
    pub fn text(&self, key: Key) -> &'a [u8] {
        self.setting(key).unwrap_or_default()
    }

    /// The value of a setting, if the plan has it.
    pub fn setting(&self, key: Key) -> Option<&'a [u8]> {
        self.settings.get(key as usize).copied().flatten()
    }

    /// The number in a setting, if the plan has it.
    pub fn number(&self, key: Key) -> Option<u64> {
        self.setting(key).map(little_endian)
    }

    /// Calls `found` with the numbers of the modules that `text` stands for, as modprobe takes it:
    /// the one of that name, or else those with a matching alias.
    pub fn resolve(&self, text: &[u8], found: &mut dyn FnMut(usize)) {
        for module in self.modules() {
            if glob::matches(module.name, text) {
                return found(module.number);
            }
        }
        self.lookup(text, found);
    }

    /// Calls `found` with the number of each module that has an alias matching `modalias` (or
    /// another name, as modprobe takes them). A module with several matching aliases may be
    /// reported several times. The checksum was good, so groups that do not add up are a builder's
    /// mistake: what follows them is not found.
    pub fn lookup(&self, modalias: &[u8], found: &mut dyn FnMut(usize)) {
        for group in self.groups() {
            if let Some(key) = glob::key(group.shape, modalias) {
                for set in group.sets() {
                    if set.keys().find(|have| *have >= key) == Some(key) {
                        found(set.module);
                    }
                }
            }
        }
    }

    /// The aliases, grouped by shape.
    pub fn groups(&self) -> impl Iterator<Item = Group<'a>> + use<'a> {
        let mut rest = self.aliases.unwrap_or_default();
        core::iter::from_fn(move || {
            let (shape, sets) = (string(&mut rest)?, string(&mut rest)?);
            Some(Group { shape, sets })
        })
    }
}
