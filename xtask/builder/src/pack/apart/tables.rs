//! Takes relocations and symbols apart, as far as one tells another.

use toehold::format::pack::module::*;

use super::{Apart, fold, next_name, tell};
use crate::pack::elf::{RECORD, Relocation, short_at, u32_at};

impl Apart {
    /// Machine code's relocations, ascending by place. None where they are not, or of types that the code's zeros do not tell.
    pub(super) fn code(
        &mut self,
        code: &[u8],
        relocations: &[Relocation],
        is_arm: bool,
    ) -> Option<()> {
        let (first, step) = if is_arm { (ARM_TYPES, 4) } else { (0, 1) };
        let (mut place, mut before) = (0, 0);
        for relocation in relocations {
            let wanted = relocation.place as usize;
            (wanted >= place && wanted.is_multiple_of(step)).then_some(())?;
            let kind = relocation.kind.checked_sub(first)?;
            (1..256).contains(&kind).then_some(())?;
            if !is_free(is_arm, u32_at(code, wanted)?) {
                self.number(RELOCATIONS, relocation.place + 1);
            }
            while place <= wanted {
                let is_there = place == wanted;
                let word = u32_at(code, place)?;
                if is_there || is_free(is_arm, word) {
                    let kind = if is_there { kind as u8 } else { 0 };
                    let context = if is_arm { (word >> 24) as u8 } else { before };
                    let last = &mut self.kinds[usize::from(context)];
                    self.streams[FLAGS as usize].push(*last ^ kind);
                    *last = kind;
                }
                before = word as u8;
                place += if is_there { 4 } else { step };
            }
            self.relocation(code_class(kind), relocation);
        }
        self.number(RELOCATIONS, 0);
        Some(())
    }

    pub(super) fn table(&mut self, relocations: &[Relocation], class: u32) {
        let mut place = 0;
        for relocation in relocations {
            self.number(class, relocation.place.wrapping_sub(place));
            self.number(class, relocation.kind);
            place = relocation.place;
            self.relocation(class, relocation);
        }
    }

    fn relocation(&mut self, class: u32, relocation: &Relocation) {
        let addend = &mut self.addends[relocation.symbol as usize % ADDEND_SLOTS];
        let change = relocation.addend.wrapping_sub(*addend);
        *addend = relocation.addend;
        self.number(class + SYMBOLS, relocation.symbol);
        self.number(class + ADDENDS, fold(change));
    }

    pub(super) fn symbols(&mut self, symbols: &[u8], strings: &[u8]) -> Option<()> {
        let (records, []) = symbols.as_chunks::<RECORD>() else {
            return None;
        };
        let mut expected = 1;
        for record in records {
            let name = u32_at(record, 0)?;
            self.number(NAMES, tell(expected, name, name != 0)?);
            expected = next_name(expected, name, strings, 0);
            let info = u32_at(record, 4)?;
            self.word(INFO, info);
            let (value, size) = (short_at(record, 8)?, short_at(record, 16)?);
            let end = &mut self.ends[(info >> 16) as usize % END_SLOTS];
            let change = value.wrapping_sub(expected_value(info, *end));
            *end = value.wrapping_add(size);
            self.number(VALUES, fold(change));
            self.number(SIZES, size);
        }
        Some(())
    }
}
