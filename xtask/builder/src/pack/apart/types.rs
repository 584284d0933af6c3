//! Takes BTF apart: words that refer to types and names say what cannot be expected of them.

use toehold::format::pack::{
    module::{self, *},
    types::{self, NAME, OTHER, TYPE},
};

use super::{Apart, next_name, tell};
use crate::pack::elf::{Sections, u32_at};

const TYPES_HEADER: usize = module::TYPES_HEADER as usize;

/// Where the types and the strings of modules begin, behind the kernel's own. They are not told anywhere; what is taken for it
/// decides on bytes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bases {
    pub strings: u32,
    pub types: u32,
}

impl Apart {
    /// A section with types, if its words can be told.
    pub(super) fn types(&mut self, section: &[u8]) -> Option<()> {
        let Types {
            header,
            words,
            strings,
        } = Types::read(section)?;
        self.bytes(HEADERS, header);
        let bases = self.bases;
        self.word(HEADERS, bases.types);
        self.word(HEADERS, bases.strings);
        self.bytes(TEXT, strings);
        let mut expected = bases.strings.wrapping_add(1);
        each_word(&words, |word, role, number| {
            let told = match role {
                TYPE => tell(bases.types.wrapping_add(number), word, word >= bases.types)?,
                NAME => tell(expected, word, word >= bases.strings)?,
                _ => word,
            };
            if role == NAME {
                expected = next_name(expected, word, strings, bases.strings);
            }
            self.word(TYPES, told);
            Some(())
        })
    }
}

/// A section with types.
struct Types<'a> {
    header: &'a [u8],
    words: Vec<u32>,
    strings: &'a [u8],
}

impl<'a> Types<'a> {
    /// Reads one whose strings follow the types.
    fn read(section: &'a [u8]) -> Option<Self> {
        let (header, rest) = section.split_at_checked(TYPES_HEADER)?;
        let (words, strings) = rest.split_at_checked(u32_at(header, 16)? as usize)?;
        let (words, []) = words.as_chunks() else {
            return None;
        };
        let words = words.iter().map(|raw| u32::from_le_bytes(*raw)).collect();
        Some(Self {
            header,
            words,
            strings,
        })
    }
}

/// Calls `see` with each word of some types, what it is, and the number of its type.
fn each_word(words: &[u32], mut see: impl FnMut(u32, u8, u32) -> Option<()>) -> Option<()> {
    let mut words = words.iter();
    let mut number = 0;
    while let Some(name) = words.next() {
        see(*name, NAME, number)?;
        let info = *words.next()?;
        see(info, OTHER, number)?;
        let shape = types::of_info(info);
        see(*words.next()?, types::third(shape), number)?;
        for _ in 0..types::elements(shape, info) {
            let mut roles = types::roles(shape);
            for _ in 0..types::words_of(shape) {
                see(*words.next()?, roles & 3, number)?;
                roles >>= 2;
            }
        }
        number += 1;
    }
    Some(())
}

impl Bases {
    /// What the modules with these files tell: the last string and the last type of each are used in it, in most of them.
    pub fn of<'a>(files: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bases = Self {
            strings: 0,
            types: 0,
        };
        for file in files {
            let _ = bases.look(file);
        }
        bases
    }

    fn look(&mut self, file: &[u8]) -> Option<()> {
        let all = Sections::read(file)?;
        for (number, section) in all.all.iter().enumerate() {
            if all.name(number) != b".BTF" {
                continue;
            }
            let Types { words, strings, .. } = Types::read(section.of(file)?)?;
            let (mut last_name, mut last_type, mut count) = (0, 0, 0);
            each_word(&words, |word, role, number| {
                match role {
                    NAME => last_name = word.max(last_name),
                    TYPE => last_type = word.max(last_type),
                    _ => {}
                }
                count = number + 1;
                Some(())
            })?;
            let text = strings.strip_suffix(b"\0")?;
            let last = text.iter().rposition(|byte| *byte == 0)? as u32 + 1;
            self.strings = self.strings.max(last_name.saturating_sub(last));
            self.types = self
                .types
                .max(last_type.saturating_add(1).saturating_sub(count));
        }
        Some(())
    }
}
