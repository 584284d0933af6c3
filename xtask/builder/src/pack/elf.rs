//! Relocatable ELF files, as far as they are taken apart: fields, sections, relocations.
//!
//! Source: elf(5).

use toehold::format::pack::module;

// As lengths of arrays.
pub const HEADER: usize = module::HEADER as usize;
pub const RECORD: usize = module::RECORD as usize;

/// The section headers of a file, and what they say.
pub struct Sections<'a> {
    headers: &'a [[u8; HEADER]],
    pub all: Vec<Section>,
    names: &'a [u8],
}

#[derive(Clone, Copy)]
pub struct Section {
    pub kind: u32,
    pub flags: u64,
    pub offset: usize,
    pub size: usize,
    pub link: usize,
    pub info: usize,
}

#[derive(Clone, Copy)]
pub struct Relocation {
    pub place: u32,
    pub kind: u32,
    pub symbol: u32,
    pub addend: u32,
}

pub fn u16_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let raw = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_le_bytes(*raw).into())
}

pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let raw = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*raw))
}

pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let raw = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*raw))
}

/// A field of 64 bits that has no more than 32.
pub fn short_at(bytes: &[u8], offset: usize) -> Option<u32> {
    u64_at(bytes, offset)?.try_into().ok()
}

impl<'a> Sections<'a> {
    /// Reads those of a file of 64 bits, little endian.
    pub fn read(file: &'a [u8]) -> Option<Self> {
        file.starts_with(b"\x7FELF\x02\x01").then_some(())?;
        let table = short_at(file, 40)? as usize;
        let count = u16_at(file, 60)?;
        let headers = file.get(table..)?.get(..count * HEADER)?;
        let (headers, _) = headers.as_chunks();
        let all = headers.iter().map(|header| Section::read(header));
        let all: Vec<Section> = all.collect::<Option<_>>()?;
        let names = all.get(u16_at(file, 62)?)?.of(file)?;
        Some(Self {
            headers,
            all,
            names,
        })
    }

    /// The name of a section; none where it is not there.
    pub fn name(&self, number: usize) -> &'a [u8] {
        let place = self
            .headers
            .get(number)
            .and_then(|header| u32_at(header, 0));
        let text = place.and_then(|place| self.names.get(place as usize..));
        let mut words = text.unwrap_or_default().split(|byte| *byte == 0);
        words.next().unwrap_or_default()
    }
}

impl Section {
    pub fn read(header: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u32_at(header, 4)?,
            flags: u64_at(header, 8)?,
            offset: short_at(header, 24)? as usize,
            size: short_at(header, 32)? as usize,
            link: u32_at(header, 40)? as usize,
            info: u32_at(header, 44)? as usize,
        })
    }

    pub fn of<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.offset..)?.get(..self.size)
    }
}

impl Relocation {
    pub fn read(record: &[u8]) -> Option<Self> {
        let addend = u32_at(record, 16)?;
        let fits = u64_at(record, 16)? == addend as i32 as u64;
        Some(Self {
            place: short_at(record, 0)?,
            kind: u32_at(record, 8)?,
            symbol: u32_at(record, 12)?,
            addend: fits.then_some(addend)?,
        })
    }

    /// A section's, if it has nothing else.
    pub fn all(section: &[u8]) -> Option<Vec<Self>> {
        let (records, []) = section.as_chunks::<RECORD>() else {
            return None;
        };
        records.iter().map(|record| Self::read(record)).collect()
    }
}
