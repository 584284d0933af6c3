//! dm-verity: the superblock on disk, the parameters that people give, and the table line for the
//! kernel.
//!
//! Sources: cryptsetup's verity on-disk format and veritysetup(8); systemd's veritytab(5); the
//! kernel's Documentation/admin-guide/device-mapper/verity.rst.

use core::ffi::CStr;

mod parameters;

use super::uevent::{Key, is_same_device, value};
use super::{IN_ORDER, little_endian, push_uuid, u32_at};
use crate::text::{
    Line, decimal, hex_digit, is_same, push, push_format, push_hex, push_number, replace, word,
};
use Parameter::*;
use parameters::{DEFAULTS, OPTIONS};
pub use parameters::{Parameter, Parameters};

/// What the key is called that holds the root hash's signature.
pub const SIGNATURE_KEY: &CStr = c"toehold";

/// Bytes of a superblock.
pub const SUPERBLOCK: usize = 512;

/// Where the fields of the superblock are that a [`Parameter`] stands for, in their order: offset
/// and bytes.
const FIELDS: [(u16, u16); Uuid as usize + 1] = [
    (12, 4),
    (64, 4),
    (68, 4),
    (72, 8),
    (32, 32),
    (88, 256),
    (16, 16),
];
/// Where the salt's length stands in the superblock.
const SALT_SIZE: usize = 80;

/// How a verity device is laid out: made of what was asked for, of the devices that were found, and
/// of what lies on them.
pub struct Layout<'a> {
    /// What was asked for. What this kernel cannot do is left out.
    pub parameters: Parameters<'a>,
    /// Hexadecimal.
    pub root_hash: &'a [u8],
    /// From the device, if there is one. None of it is authenticated: a wrong value makes
    /// verification fail, except the number of data blocks, which only says how much of the device
    /// is shown.
    pub superblock: [u8; SUPERBLOCK],
    /// How many data blocks the device has.
    pub data_blocks: u64,
    /// Where on its device the superblock lies, or without one the tree, in bytes.
    pub hash_offset: u64,
    /// Bytes of the device that has the tree.
    pub hash_device_size: u64,
    /// The key called [`SIGNATURE_KEY`] is the root hash's signature.
    pub is_signed: bool,
}

impl Layout<'static> {
    /// Nothing is asked for.
    pub const NONE: Self = Self::new(Parameters::NONE, b"");
}

impl<'a> Layout<'a> {
    /// What was asked for, before any device is looked at.
    pub const fn new(parameters: Parameters<'a>, root_hash: &'a [u8]) -> Self {
        Self {
            parameters,
            root_hash,
            superblock: [0; SUPERBLOCK],
            data_blocks: 0,
            hash_offset: 0,
            hash_device_size: 0,
            is_signed: false,
        }
    }

    /// Whether there is a superblock where one was read.
    pub fn is_superblock(&self) -> bool {
        self.superblock.starts_with(b"verity\0\0\x01\0\0\0")
    }

    /// The first field of the superblock that contradicts what is said: what it is called and what
    /// was said; in `has`, what it has.
    pub fn contradiction(&self, has: &mut Line) -> Option<(&'static [u8], &[u8])> {
        for (field, value) in self.parameters.0.iter().take(FIELDS.len()).enumerate() {
            let Some(value) = value else { continue };
            has.clear();
            self.push_field(field, has);
            if !is_same(has, value) {
                return Some((word(OPTIONS, field), value));
            }
        }
        None
    }

    /// What is said of a field of the superblock, or assumed where nothing is.
    fn said(&self, field: usize) -> &[u8] {
        let said = self.parameters.0.get(field).copied().flatten();
        said.unwrap_or_else(|| word(DEFAULTS, field))
    }

    /// A field as the superblock has it.
    fn bytes(&self, field: usize) -> &[u8] {
        let (offset, mut len) = FIELDS.get(field).copied().unwrap_or_default();
        if field == Salt as usize {
            len = len.min(u32_at(&self.superblock, SALT_SIZE) as u16);
        }
        let rest = self.superblock.get(offset.into()..).unwrap_or_default();
        rest.get(..len.into()).unwrap_or_default()
    }

    /// Appends a field of the superblock or, where there is none, what is said in its place.
    /// Nothing is checked: the kernel refuses what makes no sense.
    fn push_field(&self, field: usize, text: &mut Line) {
        let bytes = self.bytes(field);
        if field < Hash as usize {
            push_number(text, self.number_at(field));
        } else if !self.parameters.has_superblock() {
            push(text, self.said(field));
        } else if field == Hash as usize {
            // It goes into a line whose words are parted by blanks.
            push(
                text,
                bytes
                    .split(|byte| !byte.is_ascii_graphic())
                    .next()
                    .unwrap_or_default(),
            );
        } else if bytes.is_empty() {
            push(text, b"-");
        } else if field == Salt as usize {
            push_hex(text, bytes);
        } else {
            push_uuid(text, bytes, IN_ORDER);
        }
    }

    /// A field that is a number.
    pub fn number(&self, field: Parameter) -> u64 {
        self.number_at(field as usize)
    }

    fn number_at(&self, field: usize) -> u64 {
        if self.parameters.has_superblock() {
            little_endian(self.bytes(field))
        } else {
            decimal(self.said(field)).unwrap_or(0)
        }
    }

    /// Finds out how much of the data is shown: what the superblock or the parameters say, but not
    /// more than `room` bytes, and all of that if they say nothing.
    pub fn measure(&mut self, room: u64) -> bool {
        let most = room.checked_div(self.number(DataBlockSize)).unwrap_or(0);
        self.data_blocks = self.number(DataBlocks);
        if self.data_blocks == 0 {
            self.data_blocks = most;
        }
        self.data_blocks <= most
    }

    /// Length of the verified device in 512-byte sectors.
    pub fn sectors(&self) -> u64 {
        self.data_blocks
            .wrapping_mul(self.number(DataBlockSize) / 512)
    }

    /// Appends the device-mapper UUID that veritysetup would give: `CRYPT-VERITY-<uuid>-<name>`,
    /// without a superblock `CRYPT-VERITY-<name>`.
    pub fn push_uuid(&self, text: &mut Line, name: &[u8]) {
        push(text, b"CRYPT-VERITY-");
        if self.parameters.has_superblock() {
            push_hex(text, self.superblock.get(16..32).unwrap_or_default());
            push(text, b"-");
        }
        push(text, name);
    }

    /// Whether the kernel is to do something about corruption or errors.
    pub fn has_policy(&self) -> bool {
        let policies = self
            .parameters
            .0
            .get(OnCorruption as usize..ZeroBlocks as usize);
        policies != Some(&[None, None])
    }

    /// The block of its device that the tree begins with: the first whole one behind the
    /// superblock.
    fn hash_start(&self) -> u64 {
        let size = self.number(HashBlockSize).max(1);
        let mut end = self.hash_offset;
        if self.parameters.has_superblock() {
            end = end.wrapping_add(SUPERBLOCK as u64 + size - 1);
        }
        end / size
    }

    /// Appends the target's parameters; what the kernel is to do about corruption and errors only
    /// if `armed`. `devices` are the uevents of the devices with the data; with the tree, empty
    /// where it is beside the data; and with the blocks for error correction, empty where there are
    /// none.
    pub fn push_table(&self, devices: &[Line; 3], text: &mut Line, armed: bool) {
        let [data, tree, correction] = devices;
        let tree = if tree.is_empty() { data } else { tree };
        self.push_word(Format, text);
        push_device(text, data);
        push_device(text, tree);
        self.push_word(DataBlockSize, text);
        self.push_word(HashBlockSize, text);
        push_count(text, b"", self.data_blocks);
        push_count(text, b"", self.hash_start());
        self.push_word(Hash, text);
        push_word(text, self.root_hash);
        self.push_word(Salt, text);

        let mut options = Line::new();
        self.push_options(tree, correction, armed, &mut options);
        if !options.is_empty() {
            let blanks = options.iter().filter(|byte| **byte == b' ').count();
            push_count(text, b"", blanks as u64);
            push(text, &options);
        }
        // The blank behind the last word.
        text.pop();
    }

    /// Appends the optional parameters, a blank behind each word.
    fn push_options(&self, tree: &Line, correction: &Line, armed: bool, options: &mut Line) {
        if !correction.is_empty() {
            // The two block sizes have to be the same.
            let size = self.number(DataBlockSize).max(1);
            let offset = self.parameters.number(FecOffset).unwrap_or(0);
            // Corrected are the data, the tree, and what follows it: up to the correcting blocks if
            // these are on the same device.
            let mut blocks = self.hash_device_size / size;
            if is_same_device(tree, correction) {
                blocks = offset / size;
            }
            if blocks != 0 {
                blocks = blocks.wrapping_sub(self.hash_start());
            }
            push(options, b"use_fec_from_device ");
            push_device(options, correction);
            push_count(options, b"fec_start ", offset / size);
            let covered = blocks.wrapping_add(self.data_blocks);
            push_count(options, b"fec_blocks ", covered);
            let roots = self.parameters.number(FecRoots).unwrap_or(2);
            push_count(options, b"fec_roots ", roots);
        }
        if self.is_signed {
            push_word(options, b"root_hash_sig_key_desc");
            push_word(options, SIGNATURE_KEY.to_bytes());
        }
        let first = if armed { OnCorruption } else { ZeroBlocks };
        let flags = self.parameters.0.get(first as usize..).unwrap_or_default();
        for flag in flags.iter().flatten() {
            push_word(options, flag);
        }
        // The kernel spells its flags with it, and nothing else here has a `-`.
        replace(options, b'-', b'_');
    }

    fn push_word(&self, field: Parameter, text: &mut Line) {
        self.push_field(field as usize, text);
        push(text, b" ");
    }
}

/// Appends a word and a blank.
fn push_word(text: &mut Line, word: &[u8]) {
    push(text, word);
    push(text, b" ");
}

/// Appends `MAJOR:MINOR` and a blank.
fn push_device(text: &mut Line, event: &Line) {
    let numbers = [value(event, Key::MAJOR), value(event, Key::MINOR)];
    push_format(text, b"%:% ", &numbers);
}

/// Appends what a number is called, the number, and a blank.
fn push_count(text: &mut Line, name: &[u8], number: u64) {
    push(text, name);
    push_number(text, number);
    push(text, b" ");
}

/// Whether this is a root hash: whole bytes in hexadecimal, no more than the longest digest (512
/// bits).
pub fn is_root_hash(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len().is_multiple_of(2)
        && text.len() <= 128
        && text.iter().all(|byte| hex_digit(*byte).is_some())
}
