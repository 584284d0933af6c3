//! What people say of a verity device, in the words of veritytab(5).

use crate::table::{owners, place};
use crate::text::{after, boolean, decimal, split, word};
use crate::{list, table};

table! {
    /// What can be said of a verity device. Beside each stand the options that set it, as
    /// veritytab(5) spells them or, where it has none, as the kernel does; and what is assumed of a
    /// field of the superblock where there is no superblock and nothing is said. The fields of the
    /// superblock come first.
    pub enum Parameter [2] {
        /// Salt after (0, Chrome OS) or before (1) the data.
        Format: "format", "1";
        /// Bytes.
        DataBlockSize: "data-block-size", "4096";
        /// Bytes.
        HashBlockSize: "hash-block-size", "4096";
        DataBlocks: "data-blocks", "0";
        /// The hash algorithm as the kernel's crypto API names it.
        Hash: "hash", "sha256";
        /// Hexadecimal; `-` for none.
        Salt: "salt", "-";
        Uuid: "uuid", "";
        /// Whether there is one.
        HasSuperblock: "superblock", "";
        /// Bytes.
        HashOffset: "hash-offset", "";
        /// Bytes.
        FecOffset: "fec-offset", "";
        FecRoots: "fec-roots", "";
        /// SPEC.
        FecDevice: "fec-device", "";
        /// Path in the initrd.
        Signature: "root-hash-signature", "";
        /// From here on the value is the option itself.
        OnCorruption: "ignore-corruption restart-on-corruption panic-on-corruption", "";
        OnError: "restart-on-error panic-on-error", "";
        ZeroBlocks: "ignore-zero-blocks", "";
        Once: "check-at-most-once", "";
        Tasklet: "try-verify-in-tasklet", "";
    }
}

use Parameter::*;

/// How many there are.
pub(super) const COUNT: usize = Parameter::ROWS.len();
/// All options, and for each of them the number of its parameter.
pub(super) const OPTIONS: &[u8] = list!(Parameter::ROWS, 0, b' ');
const SETS: [u8; place(Parameter::ROWS, 0, COUNT)] = owners(Parameter::ROWS, 0);
pub(super) const DEFAULTS: &[u8] = list!(Parameter::ROWS, 1, b' ');

/// Which of them are sizes in bytes, multiples of 512.
const SIZES: u32 = 1 << DataBlockSize as u8
    | 1 << HashBlockSize as u8
    | 1 << HashOffset as u8
    | 1 << FecOffset as u8;
/// Which of them are numbers: those and counts.
const NUMBERS: u32 = SIZES | 1 << Format as u8 | 1 << DataBlocks as u8 | 1 << FecRoots as u8;

/// What is said of a verity device, whatever its superblock says.
#[derive(Clone, Copy)]
pub struct Parameters<'a>(pub(super) [Option<&'a [u8]>; COUNT]);

impl<'a> Parameters<'a> {
    /// Nothing is said.
    pub const NONE: Self = Self([None; COUNT]);

    /// Takes over a comma-separated list of options; later ones replace earlier ones. The error is
    /// the first that is unknown, or has no value where there must be one, or none that is a number
    /// or a boolean where that is meant. What the others mean shows where they are used.
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
            if NUMBERS >> *parameter & 1 != 0 {
                let unit = if SIZES >> *parameter & 1 != 0 { 512 } else { 1 };
                if !decimal(value)?.is_multiple_of(unit) {
                    return None;
                }
            }
            if *parameter == HasSuperblock as u8 {
                boolean(value)?;
            }
            let is_extra = *parameter == OnError as u8
                || (FecOffset as u8..=Signature as u8).contains(parameter);
            // Paths and the like are not part of the table. Everything else becomes one word of it.
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
    pub fn number(&self, parameter: Parameter) -> Option<u64> {
        decimal(self.get(parameter)?)
    }

    /// Whether there is a superblock: yes, unless it is said that there is none.
    pub fn has_superblock(&self) -> bool {
        self.get(HasSuperblock).and_then(boolean) != Some(false)
    }

    /// Leaves a parameter out.
    pub fn remove(&mut self, parameter: Parameter) {
        if let Some(value) = self.0.get_mut(parameter as usize) {
            *value = None;
        }
    }
}
