//! dm-verity: the superblock on disk, the parameters that people give, and the table line for the kernel.
//!
//! Sources: cryptsetup's verity on-disk format and veritysetup(8); systemd's veritytab(5); the kernel's
//! Documentation/admin-guide/device-mapper/verity.rst.

use core::ffi::CStr;

use super::uevent::{Key, is_same_device, value};
use super::{IN_ORDER, push_uuid, u32_at};
use crate::text::{
    Line, after, decimal, fill, hex_digit, is_same, push, push_hex, push_number, split, word,
};

/// What the key is called that holds the root hash's signature.
pub const SIGNATURE_KEY: &CStr = c"toehold";

/// Bytes of a superblock.
pub const SUPERBLOCK: usize = 512;

/// Options as veritytab(5) spells them, and those of the kernel that it lacks. The first of them stand for fields of the superblock, those up to
/// `root-hash-signature` have a value.
const OPTIONS: &[u8] = b"format data-block-size hash-block-size data-blocks hash salt uuid superblock hash-offset \
fec-offset fec-roots fec-device root-hash-signature ignore-corruption restart-on-corruption panic-on-corruption \
restart-on-error panic-on-error ignore-zero-blocks check-at-most-once try-verify-in-tasklet";
/// Which parameter each of them sets, in the same order.
const SETS: &[u8] =
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0D\x0D\x0E\x0E\x0F\x10\x11";

/// What can be said of a verity device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
pub enum Parameter {
    /// Salt after (0, Chrome OS) or before (1) the data.
    Format,
    /// Bytes.
    DataBlockSize,
    /// Bytes.
    HashBlockSize,
    DataBlocks,
    /// The hash algorithm as the kernel's crypto API names it.
    Hash,
    /// Hexadecimal; `-` for none.
    Salt,
    Uuid,
    /// Whether there is one.
    HasSuperblock,
    /// Bytes.
    HashOffset,
    /// Bytes.
    FecOffset,
    FecRoots,
    /// SPEC.
    FecDevice,
    /// Path in the initrd.
    Signature,
    /// From here on the value is the option itself.
    OnCorruption,
    OnError,
    ZeroBlocks,
    Once,
    Tasklet,
}

use Parameter::*;

const COUNT: usize = Tasklet as usize + 1;
/// Those that are fields of the superblock, and where they are: offset and bytes.
const FIELDS: [(u16, u16); 7] = [
    (12, 4),
    (64, 4),
    (68, 4),
    (72, 8),
    (32, 32),
    (88, 256),
    (16, 16),
];
/// What is assumed of them where there is no superblock and nothing is said.
const DEFAULTS: &[u8] = b"1 4096 4096 0 sha256 -";
/// Where the salt's length is.
const SALT_SIZE: usize = 80;

/// What is said of a verity device, whatever its superblock says.
#[derive(Clone, Copy)]
pub struct Parameters<'a>([Option<&'a [u8]>; COUNT]);

impl<'a> Parameters<'a> {
    /// Nothing is said.
    pub const NONE: Self = Self([None; COUNT]);

    /// Takes over a comma-separated list of options; later ones replace earlier ones. The error is the first that is unknown, or has
    /// no value where there must be one. What the values mean shows where they are used.
    #[inline(never)] // Measured: smaller so.
    pub fn read(&mut self, list: &'a [u8]) -> Result<(), &'a [u8]> {
        for option in split(list, b',') {
            if !option.is_empty() {
                self.read_one(option).ok_or(option)?;
            }
        }
        Ok(())
    }

    fn read_one(&mut self, option: &'a [u8]) -> Option<()> {
        for (place, parameter) in SETS.iter().enumerate() {
            let value = match after(option, word(OPTIONS, place)) {
                Some([]) if *parameter >= OnCorruption as u8 => option,
                Some([b'=', value @ ..]) if *parameter < OnCorruption as u8 => value,
                _ => continue,
            };
            let is_extra = *parameter == OnError as u8
                || (FecOffset as u8..=Signature as u8).contains(parameter);
            // Each is one word of the table, but for paths and the like.
            if value.is_empty() || !(is_extra || value.iter().all(u8::is_ascii_graphic)) {
                return None;
            }
            *self.0.get_mut(usize::from(*parameter))? = Some(value);
            return Some(());
        }
        None
    }

    /// What is said of a parameter, as text.
    pub fn get(&self, parameter: Parameter) -> Option<&'a [u8]> {
        self.0.get(parameter as usize).copied().flatten()
    }

    /// The same of one that is a number.
    #[inline(always)] // Measured: smaller so.
    pub fn number(&self, parameter: Parameter) -> Option<u64> {
        decimal(self.get(parameter)?)
    }

    /// Whether there is a superblock: yes, unless a boolean as systemd takes it says no.
    pub fn has_superblock(&self) -> bool {
        !matches!(
            self.get(HasSuperblock),
            Some([b'0' | b'n' | b'f', ..] | b"off")
        )
    }

    /// Leaves a parameter out.
    pub fn remove(&mut self, parameter: Parameter) {
        if let Some(value) = self.0.get_mut(parameter as usize) {
            *value = None;
        }
    }
}

/// Everything that a verity device is made from.
pub struct Target<'a> {
    /// What is said of it.
    pub parameters: Parameters<'a>,
    /// From the device, if there is one. None of it is authenticated: a wrong value makes verification fail, except the number of data
    /// blocks, which only says how much of the device is shown.
    pub superblock: [u8; SUPERBLOCK],
    /// Hexadecimal; absent: there is to be no verity device.
    pub root_hash: Option<&'a [u8]>,
    /// The uevents of the devices with the data; with the tree, empty where it is beside the data; and with the blocks for error
    /// correction, empty where there are none. The last is for who chooses between devices.
    pub devices: [Line; 4],
    /// How many there are.
    pub data_blocks: u64,
    /// Where on its device the superblock lies, or without one the tree, in bytes.
    pub hash_offset: u64,
    /// Bytes of the device that has the tree.
    pub hash_device_size: u64,
    /// The key called [`SIGNATURE_KEY`] is the root hash's signature.
    pub is_signed: bool,
}

impl Target<'_> {
    /// There is no verity device.
    pub const NONE: Self = Self {
        parameters: Parameters::NONE,
        superblock: [0; SUPERBLOCK],
        root_hash: None,
        devices: [const { Line::new() }; 4],
        data_blocks: 0,
        hash_offset: 0,
        hash_device_size: 0,
        is_signed: false,
    };

    /// Takes another device.
    pub fn set_device(&mut self, place: usize, event: &Line) {
        if let Some(device) = self.devices.get_mut(place) {
            device.clear();
            push(device, event);
        }
    }

    /// Whether there is a superblock where one was read.
    pub fn is_superblock(&self) -> bool {
        self.superblock.starts_with(b"verity\0\0\x01\0\0\0")
    }

    /// The first field of the superblock that contradicts what is said: what it is called and what was said; in `has`, what it has.
    pub fn contradiction(&self, has: &mut Line) -> Option<(&'static [u8], &[u8])> {
        for (field, value) in self.parameters.0.iter().take(FIELDS.len()).enumerate() {
            has.clear();
            self.push_field(field, has);
            if let Some(value) = value
                && !is_same(has, value)
            {
                return Some((word(OPTIONS, field), value));
            }
        }
        None
    }

    /// Appends a field of the superblock, or what is said in its place. What makes no sense, the kernel refuses.
    fn push_field(&self, field: usize, text: &mut Line) {
        if !self.parameters.has_superblock() {
            let said = self.parameters.0.get(field).copied().flatten();
            return push(text, said.unwrap_or_else(|| word(DEFAULTS, field)));
        }
        let (offset, mut len) = FIELDS.get(field).copied().unwrap_or_default();
        if field == Salt as usize {
            len = len.min(u32_at(&self.superblock, SALT_SIZE) as u16);
        }
        let rest = self.superblock.get(offset.into()..).unwrap_or_default();
        let bytes = rest.get(..len.into()).unwrap_or_default();
        if field < Hash as usize {
            let bytes = bytes.iter().rev();
            push_number(
                text,
                bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)),
            );
        } else if field == Hash as usize {
            // It goes into a line whose words are parted by blanks.
            push(
                text,
                bytes
                    .split(|byte| !byte.is_ascii_graphic())
                    .next()
                    .unwrap_or_default(),
            );
        } else if len == 0 {
            push(text, b"-");
        } else if field == Salt as usize {
            push_hex(text, bytes);
        } else {
            push_uuid(text, bytes, IN_ORDER);
        }
    }

    /// A field that is a number.
    pub fn number(&self, field: Parameter) -> u64 {
        let mut text = Line::new();
        self.push_field(field as usize, &mut text);
        decimal(&text).unwrap_or(0)
    }

    /// Finds out how much of the data is shown: what the superblock or the parameters say, but not more than `room` bytes, and all of that if they
    /// say nothing.
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

    /// Appends the device-mapper UUID that veritysetup would give: `CRYPT-VERITY-<uuid>-<name>`, without a superblock
    /// `CRYPT-VERITY-<name>`.
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

    /// The block of its device that the tree begins with: the first whole one behind the superblock.
    fn hash_start(&self) -> u64 {
        let size = self.number(HashBlockSize).max(1);
        let mut end = self.hash_offset;
        if self.parameters.has_superblock() {
            end = end.wrapping_add(SUPERBLOCK as u64 + size - 1);
        }
        end / size
    }

    /// Appends the target's parameters; what the kernel is to do about corruption and errors only if `armed`.
    #[inline(always)] // Measured: smaller so.
    pub fn push_table(&self, text: &mut Line, armed: bool) {
        let [data, tree, correction, _] = &self.devices;
        let tree = if tree.is_empty() { data } else { tree };
        self.push_word(Format, text);
        push_device(text, data);
        push_device(text, tree);
        self.push_word(DataBlockSize, text);
        self.push_word(HashBlockSize, text);
        push_count(text, b"", self.data_blocks);
        push_count(text, b"", self.hash_start());
        self.push_word(Hash, text);
        push(text, self.root_hash.unwrap_or_default());
        push(text, b" ");
        self.push_word(Salt, text);

        let (mut options, mut count) = (Line::new(), 0);
        if !correction.is_empty() {
            // The two block sizes have to be the same.
            let size = self.number(DataBlockSize).max(1);
            let offset = self.parameters.number(FecOffset).unwrap_or(0);
            // Corrected are the data, the tree, and what follows it: up to the correcting blocks if these are on the same device.
            let mut blocks = self.hash_device_size / size;
            if is_same_device(tree, correction) {
                blocks = offset / size;
            }
            if blocks != 0 {
                blocks = blocks.wrapping_sub(self.hash_start());
            }
            push(&mut options, b"use_fec_from_device ");
            push_device(&mut options, correction);
            push_count(&mut options, b"fec_start ", offset / size);
            let covered = blocks.wrapping_add(self.data_blocks);
            push_count(&mut options, b"fec_blocks ", covered);
            let roots = self.parameters.number(FecRoots).unwrap_or(2);
            push_count(&mut options, b"fec_roots ", roots);
            count = 8;
        }
        if self.is_signed {
            push(&mut options, b"root_hash_sig_key_desc ");
            push(&mut options, SIGNATURE_KEY.to_bytes());
            push(&mut options, b" ");
            count += 2;
        }
        let first = if armed { OnCorruption } else { ZeroBlocks };
        let flags = self.parameters.0.get(first as usize..).unwrap_or_default();
        for flag in flags.iter().flatten() {
            for byte in *flag {
                push(&mut options, &[if *byte == b'-' { b'_' } else { *byte }]);
            }
            push(&mut options, b" ");
            count += 1;
        }
        if count != 0 {
            push_count(text, b"", count);
            push(text, &options);
        }
        // The last blank.
        text.pop();
    }

    fn push_word(&self, field: Parameter, text: &mut Line) {
        self.push_field(field as usize, text);
        push(text, b" ");
    }
}

/// Appends `MAJOR:MINOR` and a blank.
fn push_device(text: &mut Line, event: &Line) {
    let numbers = [value(event, Key::MAJOR), value(event, Key::MINOR)];
    fill(text, b"%:% ", &numbers);
}

/// Appends what a number is called, the number, and a blank.
fn push_count(text: &mut Line, name: &[u8], number: u64) {
    push(text, name);
    push_number(text, number);
    push(text, b" ");
}

/// Whether this is a root hash: whole bytes in hexadecimal, no more than the longest digest (512 bits).
#[inline(never)] // Measured: smaller so.
pub fn is_root_hash(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len().is_multiple_of(2)
        && text.len() <= 128
        && text.iter().all(|byte| hex_digit(*byte).is_some())
}
