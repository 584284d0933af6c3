//! Takes modules apart into streams; `toehold::format::pack::module` describes them, and puts them together.

mod tables;
mod types;

use toehold::format::pack::{STREAMS, module::*};

pub use self::types::Bases;
use super::elf::{HEADER, RECORD, Relocation, Section, Sections, short_at, u32_at};
use crate::numbers::write_number;

const EXECUTABLE: u64 = 4;
const STRINGS: u64 = 0x20;
const SYMBOL_TABLE: u32 = 2;
const STRING_TABLE: u32 = 3;
const RELA: u32 = 4;
const NOBITS: u32 = 8;

/// Where the flags of a section and its address are in its header; the offset and the size follow.
const FLAGS_AT: usize = 8;
const ADDRESS_AT: usize = 16;

/// So many zeros between two pieces of one stream are in it, so that the pieces are one.
const JOINED: usize = 256;

/// What modules have been taken apart into, and what putting them together remembers of them.
pub struct Apart {
    pub streams: [Vec<u8>; STREAMS],
    /// Modules that were not taken apart.
    pub whole: usize,
    bases: Bases,
    kinds: [u8; 256],
    addends: [u32; ADDEND_SLOTS],
    ends: [u32; END_SLOTS],
    /// The pieces of this file so far, and how many zeros follow the last one.
    pieces: Vec<Piece>,
    zeros: usize,
}

/// A piece of a file.
struct Piece {
    content: u32,
    len: usize,
    /// What is told of it besides: where the code begins that is relocated, and how long a symbol table's names are.
    more: Option<usize>,
}

/// A part of a file that is to be told: a section, or headers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    start: usize,
    end: usize,
    section: Option<usize>,
}

/// 0, 1, 2, 3 of 0, -1, 1, -2.
fn fold(value: u32) -> u32 {
    value << 1 ^ (value as i32 >> 31) as u32
}

/// What a number of a stream says of a name or a type where this one is expected: as `resolve` reads it.
fn tell(expected: u32, value: u32, is_own: bool) -> Option<u32> {
    let rest = match is_own {
        true => fold(value.wrapping_sub(expected)),
        false => value,
    };
    (rest < 1 << 31).then_some(rest << 1 | u32::from(is_own))
}

/// The name that is expected after this one, where another was before: names of these strings begin at `base`.
fn next_name(expected: u32, name: u32, strings: &[u8], base: u32) -> u32 {
    if name < expected {
        return expected;
    }
    let text = strings.get(name.wrapping_sub(base) as usize..);
    let text = text.unwrap_or_default().iter();
    let len = text.take_while(|byte| **byte != 0).count() as u32;
    name.wrapping_add(len + 1)
}

impl Apart {
    pub fn new(bases: Bases) -> Self {
        Self {
            streams: [const { Vec::new() }; STREAMS],
            whole: 0,
            bases,
            kinds: [0; 256],
            addends: [0; ADDEND_SLOTS],
            ends: [0; END_SLOTS],
            pieces: Vec::new(),
            zeros: 0,
        }
    }

    /// Adds a module's file, taken apart if it is what is understood here and `whole` does not say otherwise. That it comes back
    /// unchanged has to be seen by putting it together.
    pub fn add(&mut self, file: &[u8], whole: bool) {
        let sections = match whole {
            true => None,
            false => Sections::read(file),
        };
        match sections {
            Some(sections) => self.take(file, &sections),
            None => {
                self.whole += usize::from(!whole);
                self.plain(DATA, file);
            }
        }
        self.end_zeros();
        self.number(LAYOUT, file.len() as u32);
        for piece in std::mem::take(&mut self.pieces) {
            self.bytes(LAYOUT, &[piece.content as u8]);
            self.number(LAYOUT, piece.len as u32);
            if let Some(more) = piece.more {
                self.number(LAYOUT, more as u32);
            }
        }
    }

    /// Whatever `work` has done is undone if it fails.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let lengths = self.streams.each_ref().map(Vec::len);
        let tables = (self.kinds, self.addends, self.ends);
        let result = work(self);
        if result.is_none() {
            for (stream, len) in self.streams.iter_mut().zip(lengths) {
                stream.truncate(len);
            }
            (self.kinds, self.addends, self.ends) = tables;
        }
        result
    }

    fn bytes(&mut self, stream: u32, bytes: &[u8]) {
        self.streams[stream as usize].extend(bytes);
    }

    fn word(&mut self, stream: u32, word: u32) {
        self.bytes(stream, &word.to_le_bytes());
    }

    fn number(&mut self, stream: u32, number: u32) {
        write_number(&mut self.streams[stream as usize], number.into());
    }

    /// Bytes as they are, in a stream for such.
    fn plain(&mut self, stream: u32, bytes: &[u8]) {
        if bytes.iter().all(|byte| *byte == 0) {
            self.zeros += bytes.len();
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.content == stream && self.zeros <= JOINED => {
                last.len += self.zeros + bytes.len();
                let joined = &mut self.streams[stream as usize];
                joined.resize(joined.len() + self.zeros, 0);
                self.zeros = 0;
            }
            _ => self.piece(stream, bytes.len(), None),
        }
        self.bytes(stream, bytes);
    }

    /// A piece, behind the zeros so far.
    fn piece(&mut self, content: u32, len: usize, more: Option<usize>) {
        self.end_zeros();
        self.pieces.push(Piece { content, len, more });
    }

    fn end_zeros(&mut self) {
        let len = std::mem::take(&mut self.zeros);
        if len > 0 {
            self.piece(LAYOUT, len, None);
        }
    }

    /// A file with these sections, part by part. What overlaps others is told as it is, as far as that has not been done.
    fn take(&mut self, file: &[u8], sections: &Sections) {
        let mut at = 0;
        for part in parts(file, sections) {
            if part.end <= at {
                continue;
            }
            if let Some(gap) = file.get(at..part.start) {
                self.plain(DATA, gap);
                at = part.start;
            }
            let bytes = &file[at..part.end];
            at = match part.section {
                None => {
                    match at {
                        0 => self.plain(HEADERS, bytes),
                        _ => self.headers(bytes),
                    }
                    part.end
                }
                Some(number) if part.start == at => self.section(file, sections, number),
                Some(number) => {
                    self.plain(plain_stream(sections, number), bytes);
                    part.end
                }
            };
        }
        self.plain(DATA, &file[at..]);
    }

    /// Headers of sections. Where a symbol has its value and its size they have an offset and a size, so that the offset is
    /// told by the end of the section before. Sections with relocations stand behind all others: they are left out of that,
    /// and their offsets are told as addends are, by the one before.
    fn headers(&mut self, bytes: &[u8]) {
        for header in bytes.chunks(HEADER) {
            let kind = u32_at(header, 4).unwrap_or(0);
            let from = if kind == RELA { FLAGS_AT } else { ADDRESS_AT };
            let record = header.get(from..from + RECORD);
            let Some(record) = record.filter(|_| kind != 0) else {
                self.plain(HEADERS, header);
                continue;
            };
            let told = self.attempt(|apart| {
                if kind == RELA {
                    let class = TABLES + 2 * CLASS;
                    apart.table(&Relocation::all(record)?, class);
                    return Some((class, None));
                }
                apart.symbols(record, b"")?;
                Some((NAMES, Some(0)))
            });
            self.plain(HEADERS, &header[..from]);
            let mut rest = from;
            if let Some((content, more)) = told {
                self.piece(content, RECORD, more);
                rest += RECORD;
            }
            self.plain(HEADERS, &header[rest..]);
        }
    }

    /// A section, and the names behind it if it has symbols. Returns where what follows begins.
    fn section(&mut self, file: &[u8], sections: &Sections, number: usize) -> usize {
        let section = &sections.all[number];
        let bytes = &file[section.offset..][..section.size];
        let mut end = section.offset + section.size;
        if bytes.iter().any(|byte| *byte != 0) {
            let special = self.attempt(|apart| match section.kind {
                SYMBOL_TABLE => {
                    let names = sections.all.get(section.link)?;
                    (names.offset == end).then_some(())?;
                    let names = names.of(file)?;
                    apart.bytes(TEXT, names);
                    apart.symbols(bytes, names)?;
                    end += names.len();
                    Some((NAMES, Some(names.len())))
                }
                RELA => apart.relocations(file, sections, number),
                _ if sections.name(number) == b".BTF" => {
                    apart.types(bytes)?;
                    Some((TYPES, None))
                }
                _ => None,
            });
            if let Some((content, more)) = special {
                self.piece(content, bytes.len(), more);
                return end;
            }
        }
        self.plain(plain_stream(sections, number), bytes);
        end
    }

    /// A section with relocations: by the code before it if they are the code's, else as a table.
    fn relocations(
        &mut self,
        file: &[u8],
        sections: &Sections,
        number: usize,
    ) -> Option<(u32, Option<usize>)> {
        let section = &sections.all[number];
        let all = Relocation::all(section.of(file)?)?;
        let relocated = sections.all.get(section.info);
        let by_code = relocated.filter(|code| code.flags & EXECUTABLE != 0);
        if let Some(Section { offset, .. }) = by_code
            && let Some(code) = file.get(*offset..section.offset)
            && let Some(()) = self.attempt(|apart| apart.code(code, &all, is_arm(file)))
        {
            return Some((FLAGS, Some(*offset)));
        }
        let class = match sections.name(number) {
            b".rela.orc_unwind_ip" => TABLES + CLASS,
            b".rela.return_sites" | b".rela__mcount_loc" | b".rela.call_sites" => {
                TABLES + 2 * CLASS
            }
            _ => TABLES,
        };
        self.table(&all, class);
        Some((class, None))
    }
}

fn is_arm(file: &[u8]) -> bool {
    u32_at(file, 16) == Some(ARM)
}

/// The parts of a file that are known, from the first one on.
fn parts(file: &[u8], sections: &Sections) -> Vec<Part> {
    let headers = |start: usize, count: usize| Part {
        start,
        end: start + count * HEADER,
        section: None,
    };
    let mut parts = vec![headers(0, 1)];
    if let Some(table) = short_at(file, 40) {
        parts.push(headers(table as usize, sections.all.len()));
    }
    for (number, section) in sections.all.iter().enumerate() {
        let has_bytes = !matches!(section.kind, 0 | NOBITS) && section.size > 0;
        if has_bytes && section.of(file).is_some() {
            parts.push(Part {
                start: section.offset,
                end: section.offset + section.size,
                section: Some(number),
            });
        }
    }
    parts.sort();
    parts
}

/// The stream of a section that is told as it is.
fn plain_stream(sections: &Sections, number: usize) -> u32 {
    let section = &sections.all[number];
    match sections.name(number) {
        _ if section.flags & EXECUTABLE != 0 => CODE,
        _ if section.kind == STRING_TABLE || section.flags & STRINGS != 0 => TEXT,
        b".modinfo" | b"__versions" => TEXT,
        b".orc_unwind" => UNWINDING,
        _ => DATA,
    }
}
