//! The plan: what the builder decided when the initrd was made, read in place by the init.
//!
//! One file, `/toehold.plan` in the initrd, holds the modules in dependency order, their aliases, and the
//! profile's settings, so that one init binary serves every image. All integers are little endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `"toehold\0"` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | length of the whole file |
//! | 16 | 4 | CRC-32 (IEEE) of everything from offset 20 on |
//! | 20 | 4 | length of the module section |
//! | 24 | 4 | length of the tail section |
//! | 28 | 4 | length of the alias section |
//! | 32 | | module section, tail section, alias section, settings (to the end of the file) |
//!
//! **Modules**, in topological order: a module stands after everything that it depends on. Each is
//! `flags: u8, name_len: u8, name, options_len: u8, options, dependencies: u8, dependency: u16 …`. The name is the
//! file's stem (`/lib/modules/NAME.ko`), the options are finit_module's `param_values`. A dependency is the number
//! of an earlier module; with [`SOFT`] set its failure is no reason not to load this one.
//!
//! **Aliases** are a radix tree over the literal beginnings of the patterns, with `-` written as `_`. Each node is
//! `kind: u8, label`, where the low seven bits of `kind` are the label's length, then
//! - with [`LEAF`] set: one pattern, and no children;
//! - else `body_len: u24`, and in the body `patterns: u8, pattern …, node …`.
//!
//! A pattern is `tail: u16, module: u16`: the tail is what follows the label, as an offset into the tail section, where
//! `len: u8, bytes` stands; it is a shell pattern (see [`glob`]). The alias section is a list of nodes; so is
//! each body after its patterns. Among siblings no two labels begin with the same byte and none is empty, so at most one can
//! match, and looking up a modalias reads the nodes on one path and the headers of their siblings. An alias that ends
//! where its label ends has the empty tail.
//!
//! **Settings** are `key: u8, len: u8, value`, each key once at most. See [`Key`].

use super::{crc32::crc32, glob, u32_at};

pub const MAGIC: [u8; 8] = *b"toehold\0";
pub const VERSION: u32 = 1;
/// Bytes before the module section.
pub const HEADER: usize = 32;
/// Where the plan lies in the initrd.
pub const PATH: &str = "/toehold.plan";

/// Set in a dependency's number: load it before, but do not insist.
pub const SOFT: u16 = 0x8000;
/// Set in a node's kind: one pattern, no children.
pub const LEAF: u8 = 0x80;
/// Module flag: load without waiting for hardware.
pub const ALWAYS: u8 = 1;

/// More modules than any kernel has; the init keeps one bit for each.
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
    /// u64: byte offset of the verity superblock; absent for the filesystem's own size.
    HashOffset = 4,
    /// Corruption policy as the kernel's table spells it (`panic_on_corruption`); empty for an I/O error.
    OnCorruption = 5,
    /// Where /usr is mounted, absolute.
    Mountpoint = 6,
    /// Stage-2 image, relative to /usr's mount point.
    Image = 7,
    /// Mount data of the tmpfs above the stage-2 image (`mode=0755,size=50%`).
    OverlayOptions = 8,
    /// Program to execute in stage 2, absolute.
    Init = 9,
    /// u32: seconds between a failure and the reboot.
    PromptSeconds = 10,
}

/// Settings without which there is no boot.
const REQUIRED: [Key; 7] = [
    Key::Release,
    Key::VerityName,
    Key::OnCorruption,
    Key::Mountpoint,
    Key::Image,
    Key::OverlayOptions,
    Key::Init,
];

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

/// A plan whose header, checksum and module section have been checked.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    modules: &'a [u8],
    tails: &'a [u8],
    aliases: &'a [u8],
    settings: &'a [u8],
}

/// One module of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module<'a> {
    pub flags: u8,
    pub name: &'a [u8],
    pub options: &'a [u8],
    dependencies: &'a [[u8; 2]],
}

impl Module<'_> {
    /// Numbers of the modules that must be loaded before this one, and whether each is soft.
    pub fn dependencies(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.dependencies.iter().map(|raw| {
            let raw = u16::from_le_bytes(*raw);
            (usize::from(raw & !SOFT), raw & SOFT != 0)
        })
    }
}

/// Takes `u8 length, bytes` from the front.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn module(bytes: &[u8]) -> Option<(Module<'_>, &[u8])> {
    let (flags, rest) = bytes.split_first()?;
    let (name, rest) = counted(rest)?;
    let (options, rest) = counted(rest)?;
    let (count, rest) = rest.split_first()?;
    let (dependencies, rest) = rest.split_at_checked(usize::from(*count) * 2)?;
    Some((
        Module {
            flags: *flags,
            name,
            options,
            dependencies: dependencies.as_chunks().0,
        },
        rest,
    ))
}

impl<'a> Plan<'a> {
    /// Checks and opens a plan.
    pub fn parse(file: &'a [u8]) -> Result<Self, Refused> {
        let header: &[u8; HEADER] = file.first_chunk().ok_or(Refused::Truncated)?;
        let field = |offset| u32_at(header, offset);
        if !header.starts_with(&MAGIC) || field(8) != VERSION {
            return Err(Refused::Magic);
        }
        let file = file.get(..field(12) as usize).ok_or(Refused::Truncated)?;
        if crc32(file.get(20..).ok_or(Refused::Truncated)?) != field(16) {
            return Err(Refused::Checksum);
        }
        let section = |rest: &'a [u8], offset| {
            rest.split_at_checked(field(offset) as usize)
                .ok_or(Refused::Structure)
        };
        let (modules, rest) = section(file.get(HEADER..).ok_or(Refused::Truncated)?, 20)?;
        let (tails, rest) = section(rest, 24)?;
        let (aliases, settings) = section(rest, 28)?;
        let plan = Self {
            modules,
            tails,
            aliases,
            settings,
        };
        let complete = REQUIRED.iter().all(|key| plan.setting(*key).is_some());
        if complete && plan.modules_are_ordered() {
            Ok(plan)
        } else {
            Err(Refused::Structure)
        }
    }

    /// Every module parses and depends only on earlier ones: loading it, dependencies first, always ends.
    fn modules_are_ordered(&self) -> bool {
        let mut rest = self.modules;
        let mut index = 0;
        while !rest.is_empty() {
            match module(rest) {
                Some((module, after))
                    if module
                        .dependencies()
                        .all(|(dependency, _)| dependency < index) =>
                {
                    rest = after
                }
                _ => return false,
            }
            index += 1;
        }
        index <= MAX_MODULES
    }

    /// All modules in dependency order; a module's number is its place here.
    pub fn modules(&self) -> impl Iterator<Item = Module<'a>> + use<'a> {
        let mut rest = self.modules;
        core::iter::from_fn(move || {
            let (module, after) = module(rest)?;
            rest = after;
            Some(module)
        })
    }

    /// The text of a setting that every plan has.
    pub fn text(&self, key: Key) -> &'a [u8] {
        self.setting(key).unwrap_or_default()
    }

    /// The value of a setting, if the plan has it.
    pub fn setting(&self, key: Key) -> Option<&'a [u8]> {
        let mut rest = self.settings;
        while let Some((found, after)) = rest.split_first() {
            let (value, after) = counted(after)?;
            if *found == key as u8 {
                return Some(value);
            }
            rest = after;
        }
        None
    }

    /// Calls `found` with the number of each module that has an alias matching `modalias` (or a plain name or alias, as
    /// modprobe takes them). A module with several matching aliases is reported several times.
    pub fn lookup(&self, modalias: &[u8], found: &mut dyn FnMut(usize)) {
        // A damaged tree ends the search; the checksum was good, so this is a builder's mistake, not the disk's.
        let _ = self.walk(modalias, found);
    }

    fn walk(&self, modalias: &[u8], found: &mut dyn FnMut(usize)) -> Option<()> {
        let (mut siblings, mut text) = (self.aliases, modalias);
        while let Some((kind, rest)) = siblings.split_first() {
            let (label, rest) = rest.split_at_checked(usize::from(kind & !LEAF))?;
            let (count, body, after) = if kind & LEAF != 0 {
                let (pattern, after) = rest.split_at_checked(4)?;
                (1, pattern, after)
            } else {
                let (len, rest) = rest.split_first_chunk::<3>()?;
                let [low, middle, high] = *len;
                let (body, after) =
                    rest.split_at_checked(u32::from_le_bytes([low, middle, high, 0]) as usize)?;
                let (count, body) = body.split_first()?;
                (*count, body, after)
            };
            let Some((head, remaining)) = text.split_at_checked(label.len()).filter(|(head, _)| {
                head.iter()
                    .zip(label)
                    .all(|(have, want)| glob::fold(*have) == *want)
            }) else {
                siblings = after;
                continue;
            };
            debug_assert!(!head.is_empty());
            let (patterns, children) = body.split_at_checked(usize::from(count) * 4)?;
            for [tail_low, tail_high, low, high] in patterns.as_chunks().0 {
                let tail = usize::from(u16::from_le_bytes([*tail_low, *tail_high]));
                let (tail, _) = counted(self.tails.get(tail..)?)?;
                if glob::matches(tail, remaining) {
                    found(usize::from(u16::from_le_bytes([*low, *high])));
                }
            }
            (siblings, text) = (children, remaining);
        }
        Some(())
    }
}
