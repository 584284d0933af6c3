//! BTF, the kernel's description of types for BPF: what its words are.
//!
//! A type is three words, name, info and a third one, and elements behind them. Source: the
//! kernel's Documentation/bpf/btf.rst, include/uapi/linux/btf.h.

use super::module::{HEADERS, TEXT, TYPES, TYPES_HEADER, resolve};
use super::modules::Modules;

/// A word that is neither a type nor a name.
pub const OTHER: u8 = 0;
/// A word that is the number of a type.
pub const TYPE: u8 = 1;
/// A word that is the place of a name among the strings.
pub const NAME: u8 = 2;

/// The shape of types of a kind: words of an element, then two bits for what the first of them is,
/// and two for the second one.
const fn shape(words: u8, first: u8, second: u8) -> u8 {
    words | first << 2 | second << 4
}
/// The third word is a type.
pub const REFERS: u8 = 1 << 6;
/// There is one element, whatever info says.
pub const ONE: u8 = 1 << 7;

/// Of each kind, by its number.
const SHAPES: [u8; 20] = [
    0,                                     // none
    ONE | shape(1, OTHER, OTHER),          // integer: encoding
    REFERS,                                // pointer
    ONE | shape(3, TYPE, TYPE),            // array: element, index, length
    shape(3, NAME, TYPE),                  // structure: name, type and offset of a member
    shape(3, NAME, TYPE),                  // union
    shape(2, NAME, OTHER),                 // enumeration: name and value
    0,                                     // forward
    REFERS,                                // typedef
    REFERS,                                // volatile
    REFERS,                                // const
    REFERS,                                // restrict
    REFERS,                                // function
    REFERS | shape(2, NAME, TYPE),         // prototype: name and type of a parameter
    REFERS | ONE | shape(1, OTHER, OTHER), // variable: linkage
    shape(3, TYPE, OTHER),                 // section: variable, offset, size
    0,                                     // floating point
    REFERS | ONE | shape(1, OTHER, OTHER), // tag of a declaration: component
    REFERS,                                // tag of a type
    shape(3, NAME, OTHER),                 // enumeration of 64 bits: name and value
];

/// The shape of a type with this info. Kinds that are not known have no elements.
pub fn of_info(info: u32) -> u8 {
    let kind = (info >> 24 & 31) as usize;
    SHAPES.get(kind).copied().unwrap_or(0)
}

/// How many elements a type of this shape and info has.
pub fn elements(shape: u8, info: u32) -> u32 {
    if shape & ONE != 0 { 1 } else { info & 0xFFFF }
}

/// How many words an element has.
pub fn words_of(shape: u8) -> u8 {
    shape & 3
}

/// What the words of an element are: two bits for each, from the lowest on.
pub fn roles(shape: u8) -> u8 {
    shape >> 2 & 15
}

/// What the third word is.
pub fn third(shape: u8) -> u8 {
    shape >> 6 & 1
}

impl Modules<'_> {
    /// BTF up to `end`.
    pub(super) fn types(&mut self, end: u32) {
        let header = self.at;
        self.copy(HEADERS, TYPES_HEADER);
        let words = self.at;
        let strings = words.saturating_add(self.get(header + 16)).min(end);
        self.type_ = self.word(HEADERS);
        let base = self.word(HEADERS);
        self.name = base.wrapping_add(1);
        self.strings = strings.wrapping_sub(base);
        self.at = strings;
        self.copy(TEXT, end.wrapping_sub(strings));
        self.at = words;
        while self.at < strings {
            self.word_of_type(NAME);
            let info = self.word_of_type(OTHER);
            let shape = of_info(info);
            self.word_of_type(third(shape));
            // Not more of them than there is room for, whatever the type says.
            let mut left = elements(shape, info);
            while left != 0 && self.at < strings {
                left -= 1;
                let mut roles = roles(shape);
                for _ in 0..words_of(shape) {
                    self.word_of_type(roles & 3);
                    roles >>= 2;
                }
            }
            self.type_ = self.type_.wrapping_add(1);
        }
        self.at = end;
    }

    #[inline(never)] // size: inline
    fn word_of_type(&mut self, role: u8) -> u32 {
        let told = self.word(TYPES);
        self.typed(role, told)
    }

    /// Writes the word that is told so. After a name, the next one is expected where that ends.
    #[inline(never)] // size: inline
    pub(super) fn typed(&mut self, role: u8, told: u32) -> u32 {
        let mut word = told;
        if role == TYPE {
            word = resolve(self.type_, told);
        }
        if role == NAME {
            word = resolve(self.name, told);
            // Others have been seen, or are the kernel's.
            if word >= self.name {
                let mut end = self.strings.wrapping_add(word);
                while self.room.get(end as usize).is_some_and(|byte| *byte != 0) {
                    end += 1;
                }
                self.name = end.wrapping_sub(self.strings).wrapping_add(1);
            }
        }
        self.put(word);
        word
    }
}
