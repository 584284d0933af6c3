//! The modules of a group, unpacked and put together; [`module`](super::module) says what of.

use super::module::*;
use super::types::NAME;
use super::{Group, STREAMS, lzma};
use crate::format::u32_at;

/// Streams, and more of them up to a power of two.
const SLOTS: usize = STREAMS.next_power_of_two();

/// What is learned of a group while it is unpacked.
pub struct Tables {
    probabilities: lzma::Probabilities,
    /// The last addend of a symbol.
    addends: [u32; ADDEND_SLOTS],
    /// Where the last symbol of a section ended.
    ends: [u32; END_SLOTS],
    /// How the last place of each context of machine code was relocated: the type, 0 if not.
    kinds: [u8; 256],
}

impl Tables {
    pub const NONE: Self = Self {
        probabilities: lzma::Probabilities::NONE,
        addends: [0; ADDEND_SLOTS],
        ends: [0; END_SLOTS],
        kinds: [0; 256],
    };
}

/// The modules of a group, unpacked, one after the other.
#[repr(C)] // size: instructions are shorter for what lies before the streams, within 128 bytes
pub struct Modules<'a> {
    /// The streams, and behind them the files of the modules.
    pub(super) room: &'a mut [u8],
    /// Where to write next.
    pub(super) at: u32,
    /// The number of the type that is told now.
    pub(super) type_: u32,
    /// The name that is expected next, behind all that were told.
    pub(super) name: u32,
    /// Where the names that are told would begin if none stood before the module's own.
    pub(super) strings: u32,
    /// Where this file begins.
    file: u32,
    tables: &'a mut Tables,
    /// Where each stream is to be read next.
    streams: [u32; SLOTS],
}

impl<'a> Modules<'a> {
    /// Of no group. `tables` are as they are at the beginning.
    pub fn none(tables: &'a mut Tables) -> Self {
        Self {
            room: &mut [],
            at: 0,
            file: 0,
            tables,
            strings: 0,
            name: 0,
            type_: 0,
            streams: [0; SLOTS],
        }
    }

    /// Unpacks a group, once, into room that has the bytes that it takes. `None`: it has not.
    pub fn unpack(&mut self, group: Group, room: &'a mut [u8]) -> Option<()> {
        let (about, mut packed) = group.packed.split_first_chunk::<{ 8 * STREAMS }>()?;
        for (stream, about) in self.streams.iter_mut().zip(about.as_chunks::<8>().0) {
            let first = u32_at(about, 0);
            let from = packed.split_off(..(first & 0xFF_FFFF) as usize)?;
            *stream = self.at;
            self.at = self.at.wrapping_add(u32_at(about, 4));
            let to = room.get_mut(*stream as usize..self.at as usize)?;
            lzma::decode(from, first >> 24, to, &mut self.tables.probabilities);
        }
        self.room = room;
        Some(())
    }

    /// The file of the next module, if there is one: the plan knows how many there are.
    #[inline(never)] // size: inline
    pub fn take(&mut self) -> Option<&[u8]> {
        self.file = self.at;
        let last = self.at.wrapping_add(self.number(LAYOUT));
        // So that no place overflows, and no piece takes longer than the room is large.
        let last = last.min(self.room.len() as u32);
        while self.at < last {
            let content = u32::from(self.byte(LAYOUT));
            let len = self.number(LAYOUT).min(last - self.at);
            let end = self.at + len;
            match content {
                LAYOUT => self.at = end.max(self.at + 1),
                TYPES => self.types(end),
                FLAGS => self.code(end),
                NAMES => self.symbols(end),
                TABLES.. => self.table(end, content),
                stream => self.copy(stream, len),
            }
        }
        self.room.get(self.file as usize..last as usize)
    }

    /// Relocations of machine code, up to `end`.
    fn code(&mut self, end: u32) {
        let is_arm = match cfg!(feature = "freestanding") {
            // An init unpacks what its own kernel loads.
            true => cfg!(target_arch = "aarch64"),
            false => self.get(self.file + 16) == ARM,
        };
        let start = self.file.wrapping_add(self.number(LAYOUT));
        let (mut place, mut before) = (start, 0);
        let mut elsewhere = start.wrapping_add(self.number(RELOCATIONS));
        while self.at < end && place < self.at {
            let word = self.get(place);
            let is_elsewhere = place + 1 == elsewhere;
            if is_elsewhere {
                elsewhere = start.wrapping_add(self.number(RELOCATIONS));
            }
            let mut kind = 0;
            if is_elsewhere || is_free(is_arm, word) {
                let context = if is_arm { (word >> 24) as u8 } else { before };
                let flag = self.byte(FLAGS);
                let last = &mut self.tables.kinds[usize::from(context)];
                *last ^= flag;
                kind = u32::from(*last);
            }
            before = word as u8;
            if kind != 0 {
                let first = if is_arm { ARM_TYPES } else { 0 };
                self.relocation(code_class(kind), place - start, first + kind);
            }
            place += if kind != 0 || is_arm { 4 } else { 1 };
        }
    }

    /// A section with relocations of this class.
    fn table(&mut self, end: u32, class: u32) {
        let mut place = 0u32;
        while self.at < end {
            place = place.wrapping_add(self.number(class));
            let kind = self.number(class);
            self.relocation(class, place, kind);
        }
    }

    /// A relocation at a place, and of a type.
    #[inline(never)] // size: inline
    fn relocation(&mut self, class: u32, place: u32, kind: u32) {
        let symbol = self.number(class + SYMBOLS);
        let change = unfold(self.number(class + ADDENDS));
        let last = &mut self.tables.addends[symbol as usize % ADDEND_SLOTS];
        let addend = last.wrapping_add(change);
        *last = addend;
        self.put(place);
        self.skip();
        self.put(kind);
        self.put(symbol);
        self.put(addend);
        self.put((addend as i32 >> 31) as u32);
    }

    /// Symbols up to `end`, and their names behind them.
    fn symbols(&mut self, end: u32) {
        let symbols = self.at;
        self.strings = end;
        self.name = 1;
        self.at = end;
        let len = self.number(LAYOUT);
        self.copy(TEXT, len);
        let last = self.at;
        self.at = symbols;
        while self.at < end {
            let name = self.number(NAMES);
            self.typed(NAME, name);
            let info = self.word(INFO);
            self.put(info);
            let value = unfold(self.number(VALUES));
            let size = self.number(SIZES);
            let end = &mut self.tables.ends[(info >> 16) as usize % END_SLOTS];
            let value = value.wrapping_add(expected_value(info, *end));
            *end = value.wrapping_add(size);
            self.put(value);
            self.skip();
            self.put(size);
            self.skip();
        }
        self.at = last;
    }

    /// The next byte of a stream.
    fn byte(&mut self, stream: u32) -> u8 {
        self.read(stream, 1) as u8
    }

    /// The next word of a stream.
    pub(super) fn word(&mut self, stream: u32) -> u32 {
        self.read(stream, 4)
    }

    /// The word that is next in a stream, of which so many bytes are taken.
    #[inline(never)] // size: inline
    fn read(&mut self, stream: u32, len: u32) -> u32 {
        let at = self.pass(stream, len);
        self.get(at)
    }

    /// Where a stream is to be read, which goes on behind so many bytes.
    fn pass(&mut self, stream: u32, len: u32) -> u32 {
        let place = &mut self.streams[stream as usize % SLOTS];
        let at = *place;
        *place = at.wrapping_add(len);
        at
    }

    #[inline(never)] // size: inline
    fn number(&mut self, stream: u32) -> u32 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte(stream);
            value |= u32::from(byte & 0x7F).wrapping_shl(shift);
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    /// Writes the next bytes of a stream.
    #[inline(never)] // size: inline
    pub(super) fn copy(&mut self, stream: u32, len: u32) {
        let at = self.at as usize;
        self.at = self.at.wrapping_add(len);
        let from = self.pass(stream, len) as usize;
        let len = len as usize;
        if from.max(at) + len <= self.room.len() {
            self.room.copy_within(from..from + len, at);
        }
    }

    /// Writes a word.
    #[inline(never)] // size: inline
    pub(super) fn put(&mut self, word: u32) {
        self.set(self.at, word);
        self.at += 4;
    }

    /// Leaves a word zero.
    fn skip(&mut self) {
        self.at += 4;
    }

    /// Writes a word there.
    fn set(&mut self, at: u32, word: u32) {
        if let Some(to) = self
            .room
            .get_mut(at as usize..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            *to = word.to_le_bytes();
        }
    }

    /// The word that is there.
    #[inline(never)] // size: inline
    pub(super) fn get(&self, at: u32) -> u32 {
        let raw = self.room.get(at as usize..).and_then(<[u8]>::first_chunk);
        raw.map_or(0, |raw| u32::from_le_bytes(*raw))
    }
}
