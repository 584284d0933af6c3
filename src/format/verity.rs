//! dm-verity: the superblock on disk, the parameters that people give, and the table line for the kernel.
//!
//! Sources: cryptsetup's verity on-disk format and veritysetup(8); systemd's veritytab(5); the kernel's
//! Documentation/admin-guide/device-mapper/verity.rst.

use super::uevent::value;
use super::{push_uuid, u32_at, u64_at};
use crate::text::{Line, decimal, fill, hex_digit, position, push, push_hex, push_number, word};

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
/// Where the salt's length is.
const SALT_SIZE: usize = 80;

/// What is said of a verity device, whatever its superblock says.
#[derive(Clone, Copy)]
pub struct Parameters<'a>([Option<&'a [u8]>; COUNT]);

impl<'a> Parameters<'a> {
    /// Nothing is said.
    pub const NONE: Self = Self([None; COUNT]);

    /// Takes over a comma-separated list of options; later ones replace earlier ones. The error is the first that is unknown or
    /// whose value makes no sense.
    pub fn read(&mut self, list: &'a [u8]) -> Result<(), &'a [u8]> {
        for option in list.split(|byte| *byte == b',') {
            if !option.is_empty() {
                self.read_one(option).ok_or(option)?;
            }
        }
        Ok(())
    }

    fn read_one(&mut self, option: &'a [u8]) -> Option<()> {
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let place = position(OPTIONS, parts.next()?);
        let parameter = usize::from(*SETS.get(place)?);
        let value = if parameter < OnCorruption as usize {
            parts.next().filter(|value| !value.is_empty())?
        } else if parts.next().is_none() {
            option
        } else {
            return None;
        };
        if parameter < FIELDS.len() {
            let mut superblock = Superblock::NONE;
            superblock.set(parameter, value)?;
        } else if parameter <= FecRoots as usize {
            let number = decimal(value);
            if parameter == HasSuperblock as usize {
                truth(value)?;
            } else if parameter == FecRoots as usize {
                number?;
            } else if number? % 512 != 0 {
                return None;
            }
        }
        *self.0.get_mut(parameter)? = Some(value);
        Some(())
    }

    /// What is said of a parameter, as text.
    pub fn get(&self, parameter: Parameter) -> Option<&'a [u8]> {
        self.0.get(parameter as usize).copied().flatten()
    }

    /// The same of one that is a number.
    pub fn number(&self, parameter: Parameter) -> Option<u64> {
        decimal(self.get(parameter)?)
    }

    /// Whether there is a superblock.
    pub fn has_superblock(&self) -> bool {
        self.get(HasSuperblock)
            .is_none_or(|value| truth(value) == Some(true))
    }

    /// Leaves a parameter out.
    pub fn remove(&mut self, parameter: Parameter) {
        if let Some(value) = self.0.get_mut(parameter as usize) {
            *value = None;
        }
    }
}

/// A boolean as systemd takes it.
fn truth(text: &[u8]) -> Option<bool> {
    let place = position(b"0 no n false f off 1 yes y true t on", text);
    (place < 12).then_some(place >= 6)
}

/// A superblock: from a device, or put together from parameters where a device has none. None of it is authenticated: a wrong value makes verification fail,
/// except the number of data blocks, which only says how much of the device is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Superblock(pub [u8; SUPERBLOCK]);

impl Superblock {
    /// Nothing but zeros.
    pub const NONE: Self = Self([0; SUPERBLOCK]);

    /// Whether it is one.
    pub fn is_one(&self) -> bool {
        self.0.starts_with(b"verity\0\0\x01\0\0\0")
    }

    /// Whether a table can be made of it. Whether that makes sense, the kernel decides.
    pub fn is_good(&self) -> bool {
        // The name goes into a line whose words are parted by blanks.
        let name = self.algorithm();
        (512..=65536).contains(&self.data_block_size())
            && !name.is_empty()
            && name.iter().all(u8::is_ascii_graphic)
    }

    /// Sets every field of which `parameters` say something. Where that changes one, it stops: `before` and `after` are the
    /// field's values.
    pub fn pin(
        &mut self,
        parameters: &Parameters,
        before: &mut Line,
        after: &mut Line,
    ) -> Option<usize> {
        (0..FIELDS.len()).find(|field| {
            let Some(value) = parameters.0.get(*field).copied().flatten() else {
                return false;
            };
            before.clear();
            after.clear();
            self.push(*field, before);
            self.set(*field, value);
            self.push(*field, after);
            before != after
        })
    }

    /// Sets a field from text; `None` if the text makes no sense there.
    fn set(&mut self, field: usize, text: &[u8]) -> Option<()> {
        let (offset, len) = *FIELDS.get(field)?;
        let len = usize::from(len);
        let mut value = Line::new();
        if field == Hash as usize {
            push(&mut value, text);
        } else if field > Hash as usize {
            push_bytes(&mut value, text)?;
        } else {
            push(&mut value, &decimal(text)?.to_le_bytes());
        }
        let (head, tail) = value.split_at_checked(len).unwrap_or((&value, b""));
        let too_long = value.len() > len.max(8) || tail.iter().any(|byte| *byte != 0);
        if too_long || field == Uuid as usize && value.len() != len {
            return None;
        }
        let bytes = self.0.get_mut(offset.into()..)?.get_mut(..len)?;
        bytes.fill(0);
        bytes
            .iter_mut()
            .zip(head)
            .for_each(|(to, from)| *to = *from);
        if field == Salt as usize {
            let size = self.0.get_mut(SALT_SIZE..)?.first_chunk_mut()?;
            *size = (value.len() as u16).to_le_bytes();
        }
        Some(())
    }

    /// Appends a field as text.
    pub fn push(&self, field: usize, text: &mut Line) {
        let start = text.len();
        if field == Hash as usize {
            push(text, self.algorithm());
        } else if field == Salt as usize {
            push_hex(
                text,
                self.bytes(field)
                    .get(..self.salt_size())
                    .unwrap_or_default(),
            );
            if text.len() == start {
                push(text, b"-");
            }
        } else if field == Uuid as usize {
            push_uuid(text, self.bytes(field));
        } else {
            push_number(text, little_endian(self.bytes(field)));
        }
    }

    fn bytes(&self, field: usize) -> &[u8] {
        let (offset, len) = FIELDS.get(field).copied().unwrap_or_default();
        let rest = self.0.get(offset.into()..).unwrap_or_default();
        rest.get(..len.into()).unwrap_or_default()
    }

    fn algorithm(&self) -> &[u8] {
        let mut parts = self.bytes(Hash as usize).split(|byte| *byte == 0);
        parts.next().unwrap_or_default()
    }

    /// Bytes.
    pub fn data_block_size(&self) -> u32 {
        u32_at(&self.0, 64)
    }

    /// Bytes.
    pub fn hash_block_size(&self) -> u32 {
        u32_at(&self.0, 68)
    }

    pub fn data_blocks(&self) -> u64 {
        u64_at(&self.0, 72)
    }

    /// Gives it a length, in bytes, if it has none.
    pub fn cover(&mut self, bytes: u64) {
        let blocks = bytes
            .checked_div(self.data_block_size().into())
            .unwrap_or(0);
        if self.data_blocks() == 0
            && let Some(field) = self.0.get_mut(72..).and_then(<[u8]>::first_chunk_mut)
        {
            *field = blocks.to_le_bytes();
        }
    }

    fn salt_size(&self) -> usize {
        usize::from(u32_at(&self.0, SALT_SIZE) as u16)
    }

    /// Whether the data do not fit into so many bytes.
    pub fn exceeds(&self, bytes: u64) -> bool {
        let blocks = bytes.checked_div(self.data_block_size().into());
        self.data_blocks() > blocks.unwrap_or(0)
    }

    /// Length of the verified device in 512-byte sectors.
    pub fn sectors(&self) -> u64 {
        self.data_blocks()
            .wrapping_mul((self.data_block_size() / 512).into())
    }
}

/// An unsigned number of at most 8 bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Appends the bytes that hexadecimal digits stand for; dashes are passed over.
fn push_bytes(bytes: &mut Line, text: &[u8]) -> Option<()> {
    let mut digits = text.iter().filter(|digit| **digit != b'-');
    while let Some(high) = digits.next() {
        push(
            bytes,
            &[hex_digit(*high)? << 4 | hex_digit(*digits.next()?)?],
        );
    }
    Some(())
}

/// Whether this is a root hash: whole bytes in hexadecimal, no more than the longest digest (512 bits).
pub fn is_root_hash(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len().is_multiple_of(2)
        && text.len() <= 128
        && text.iter().all(|byte| hex_digit(*byte).is_some())
}

/// What is assumed where there is no superblock and nothing is said: the first fields, in their order.
const DEFAULTS: &[u8] = b"1 4096 4096 0 sha256";

/// Everything that a verity device is made from.
pub struct Target<'a> {
    /// What is said of it, whatever its superblock says.
    pub parameters: Parameters<'a>,
    /// From the device, with all parameters set.
    pub superblock: Superblock,
    /// Hexadecimal; absent: there is to be no verity device.
    pub root_hash: Option<&'a [u8]>,
    /// The uevents of the devices with the data; with the tree, where it is not beside the data; and with the blocks for error
    /// correction.
    pub devices: [Option<&'a [u8]>; 3],
    /// Where on its device the superblock lies, or without one the tree, in bytes.
    pub hash_offset: u64,
    /// Bytes of the device that has the tree.
    pub hash_device_size: u64,
    /// Description of the key that is the root hash's signature.
    pub key: Option<&'a [u8]>,
}

impl Target<'_> {
    /// There is no verity device.
    pub const NONE: Self = Self {
        parameters: Parameters::NONE,
        superblock: Superblock::NONE,
        root_hash: None,
        devices: [None; 3],
        hash_offset: 0,
        hash_device_size: 0,
        key: None,
    };

    /// Puts a superblock together where there is none.
    pub fn assume(&mut self) {
        self.superblock = Superblock::NONE;
        for (field, value) in DEFAULTS.split(|byte| *byte == b' ').enumerate() {
            self.superblock.set(field, value);
        }
        for (field, value) in self.parameters.0.iter().take(FIELDS.len()).enumerate() {
            if let Some(value) = value {
                self.superblock.set(field, value);
            }
        }
    }

    /// Appends the device-mapper UUID that veritysetup would give: `CRYPT-VERITY-<uuid>-<name>`, without a superblock
    /// `CRYPT-VERITY-<name>`.
    pub fn push_uuid(&self, text: &mut Line, name: &[u8]) {
        push(text, b"CRYPT-VERITY-");
        if self.parameters.has_superblock() {
            push_hex(text, self.superblock.bytes(Uuid as usize));
            push(text, b"-");
        }
        push(text, name);
    }

    /// Whether the kernel is to do something about corruption or errors.
    pub fn has_policy(&self) -> bool {
        self.parameters
            .get(OnCorruption)
            .or(self.parameters.get(OnError))
            .is_some()
    }

    /// The block of its device that the tree begins with.
    fn hash_start(&self) -> u64 {
        let size = u64::from(self.superblock.hash_block_size().max(1));
        if self.parameters.has_superblock() {
            // The first whole block behind it.
            let end = self.hash_offset.saturating_add(SUPERBLOCK as u64);
            end.div_ceil(size)
        } else {
            self.hash_offset / size
        }
    }

    /// Appends the target's parameters; what the kernel is to do about corruption and errors only if `armed`.
    pub fn push_table(&self, text: &mut Line, armed: bool) {
        self.expand(b"0 D T 1 2 3 S 4 R 5", text);
        let (mut options, mut count) = (Line::new(), 0);
        let [_, _, correction] = self.devices;
        if correction.is_some() {
            let words = b" use_fec_from_device C fec_start O fec_blocks B fec_roots N";
            self.expand(words, &mut options);
            count = 8;
        }
        if self.key.is_some() {
            self.expand(b" root_hash_sig_key_desc K", &mut options);
            count += 2;
        }
        let first = if armed { OnCorruption } else { ZeroBlocks };
        let flags = self.parameters.0.get(first as usize..).unwrap_or_default();
        for flag in flags.iter().flatten() {
            push(&mut options, b" ");
            for byte in *flag {
                push(&mut options, &[if *byte == b'-' { b'_' } else { *byte }]);
            }
            count += 1;
        }
        if count != 0 {
            push(text, b" ");
            push_number(text, count);
            push(text, &options);
        }
    }

    /// Appends `template` with digits replaced by the superblock's fields, and capital letters by what they stand for here.
    fn expand(&self, template: &[u8], text: &mut Line) {
        let [data, tree, correction] = self.devices;
        let tree = tree.or(data);
        let data_blocks = self.superblock.data_blocks();
        let size = u64::from(self.superblock.data_block_size().max(1));
        let offset = self.parameters.number(FecOffset).unwrap_or(0);
        for byte in template {
            let number = match byte {
                b'D' | b'T' | b'C' => {
                    let device = match byte {
                        b'D' => data,
                        b'T' => tree,
                        _ => correction,
                    };
                    let event = device.unwrap_or_default();
                    let numbers = [value(event, b"MAJOR"), value(event, b"MINOR")];
                    fill(text, b"%:%", &numbers);
                    continue;
                }
                b'S' => self.hash_start(),
                // With error correction the two block sizes have to be the same.
                b'O' => offset / size,
                b'N' => self.parameters.number(FecRoots).unwrap_or(2),
                b'B' => {
                    // Corrected are the data, the tree, and what follows it: up to the correcting blocks if these are on the
                    // same device.
                    let mut area = self.hash_device_size;
                    if value(tree.unwrap_or_default(), b"DEVNAME")
                        == value(correction.unwrap_or_default(), b"DEVNAME")
                    {
                        area = offset;
                    }
                    match area / size {
                        0 => data_blocks,
                        blocks => blocks
                            .wrapping_sub(self.hash_start())
                            .wrapping_add(data_blocks),
                    }
                }
                _ => {
                    let literal = [*byte];
                    match byte {
                        b'0'..=b'9' => self.superblock.push(usize::from(byte - b'0'), text),
                        b'R' => push(text, self.root_hash.unwrap_or_default()),
                        b'K' => push(text, self.key.unwrap_or_default()),
                        _ => push(text, &literal),
                    }
                    continue;
                }
            };
            push_number(text, number);
        }
    }
}

/// As veritytab(5) spells the field of a superblock.
pub fn field_name(field: usize) -> &'static [u8] {
    word(OPTIONS, field)
}
