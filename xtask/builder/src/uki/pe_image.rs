//! PE images: sections appended to one that is there, and everything else of it left as it was.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::pe::{self, ImageNtHeaders64, ImageSectionHeader};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::pe::PeFile64;

/// Where sections begin in memory, whatever smaller alignment the image asks for: what a stub hands on is mapped page by page.
const PAGE: u32 = 4096;
const TOO_LARGE: &str = "the image would be larger than a PE image can be, 4 GiB";

/// A section to be appended: read-only data.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// With its dot, 8 bytes at most.
    pub name: &'static str,
    pub data: &'a [u8],
}

/// `image` with `sections` behind its own, in this order, in the file as in memory: the same bytes for the same input.
///
/// What lies behind the image's last section (symbols, which nobody needs) is dropped. Refuses an image that is signed, that has one
/// of the sections, or whose headers have no room for theirs.
pub fn append(image: &[u8], sections: &[Section]) -> Result<Vec<u8>> {
    let file = PeFile64::parse(image).context("not a PE image of 64 bits")?;
    check(&file, sections)?;
    let mut headers = *file.nt_headers();
    let optional = &mut headers.optional_header;
    let in_file = alignment(optional.file_alignment.get(LE))?;
    let in_memory = alignment(optional.section_alignment.get(LE))?;

    let (mut bytes, mut address) = loaded(&file, image)?;
    let mut added = Vec::new();
    for section in sections {
        pad(&mut bytes, in_file);
        address = align(address, in_memory.max(PAGE))?;
        let header = header(section, address, &bytes, in_file)?;
        bytes.extend(section.data);
        address = sum(address, header.virtual_size.get(LE))?;
        let data = optional.size_of_initialized_data.get(LE);
        let data = sum(data, header.size_of_raw_data.get(LE))?;
        optional.size_of_initialized_data.set(LE, data);
        added.push(header);
    }
    pad(&mut bytes, in_file);

    optional.size_of_image.set(LE, align(address, in_memory)?);
    optional.check_sum.set(LE, 0);
    let room = optional.size_of_headers.get(LE) as usize;
    let count = file.section_table().len();
    let of_file = &mut headers.file_header;
    of_file.pointer_to_symbol_table.set(LE, 0);
    of_file.number_of_symbols.set(LE, 0);
    let sections = u16::try_from(count + added.len()).context(TOO_LARGE)?;
    of_file.number_of_sections.set(LE, sections);
    let start = file.dos_header().nt_headers_offset() as usize;
    let table = start
        + offset_of!(ImageNtHeaders64, optional_header)
        + usize::from(of_file.size_of_optional_header.get(LE));
    let free = table + count * size_of::<ImageSectionHeader>();
    // What stands there pads, with zeros or with instructions that do nothing.
    let free = bytes.get_mut(free..room).unwrap_or_default();
    let table = bytes_of_slice(&added);
    ensure!(
        free.len() >= table.len(),
        "the image's headers have no room for {} more sections; those of systemd's stub have",
        added.len()
    );
    free[..table.len()].copy_from_slice(table);
    bytes[start..][..size_of::<ImageNtHeaders64>()].copy_from_slice(bytes_of(&headers));
    let field = start + offset_of!(ImageNtHeaders64, optional_header.check_sum);
    let checksum = checksum(&bytes).to_le_bytes();
    bytes[field..][..checksum.len()].copy_from_slice(&checksum);
    Ok(bytes)
}

/// Refuses an image that cannot get these sections.
fn check(file: &PeFile64, sections: &[Section]) -> Result<()> {
    let signature = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
    ensure!(
        signature.is_none_or(|directory| directory.size.get(LE) == 0),
        "the image is signed, and any change makes that worthless: take an unsigned one, and sign what comes of it"
    );
    for Section { name, .. } in sections {
        let mut present = file
            .section_table()
            .iter()
            .map(ImageSectionHeader::raw_name);
        ensure!(
            !present.any(|present| present == name.as_bytes()),
            "the image has a section {name}: it is a unified kernel image, not the stub that one is made from"
        );
    }
    Ok(())
}

/// Headers and sections of an image, and the address behind its last section.
fn loaded(file: &PeFile64, image: &[u8]) -> Result<(Vec<u8>, u32)> {
    let mut end = file.nt_headers().optional_header.size_of_headers.get(LE);
    let mut address = end;
    for section in file.section_table().iter() {
        let (offset, len) = (&section.pointer_to_raw_data, &section.size_of_raw_data);
        end = end.max(sum(offset.get(LE), len.get(LE))?);
        // Without a size of its own a section takes what it has in the file.
        let len = match section.virtual_size.get(LE) {
            0 => len.get(LE),
            len => len,
        };
        address = address.max(sum(section.virtual_address.get(LE), len)?);
    }
    let bytes = image.get(..end as usize);
    let bytes = bytes.context("the image is damaged: it ends before its last section does")?;
    Ok((bytes.to_vec(), address))
}

/// The header of a section whose data comes next behind `bytes`.
fn header(
    section: &Section,
    address: u32,
    bytes: &[u8],
    in_file: u32,
) -> Result<ImageSectionHeader> {
    let len = u32::try_from(section.data.len()).context(TOO_LARGE)?;
    let offset = u32::try_from(bytes.len()).context(TOO_LARGE)?;
    let kind = pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ;
    let mut header = ImageSectionHeader::default();
    let name = header.name.get_mut(..section.name.len());
    let name = name.with_context(|| format!("{} is too long for a section", section.name))?;
    name.copy_from_slice(section.name.as_bytes());
    header.virtual_size.set(LE, len);
    header.virtual_address.set(LE, address);
    header.size_of_raw_data.set(LE, align(len, in_file)?);
    header.pointer_to_raw_data.set(LE, offset);
    header.characteristics.set(LE, kind);
    Ok(header)
}

/// The checksum of an image in whose headers it is zero: the sum of all words, carries added to it, and the length.
pub fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let sum: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_le_bytes(*word)))
        .sum();
    let mut sum = sum + rest.first().map_or(0, |last| u64::from(*last));
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (sum as u32).wrapping_add(bytes.len() as u32)
}

fn alignment(bytes: u32) -> Result<u32> {
    ensure!(
        bytes.is_power_of_two(),
        "the image is damaged: its sections are aligned to {bytes} bytes"
    );
    Ok(bytes)
}

fn align(value: u32, alignment: u32) -> Result<u32> {
    value.checked_next_multiple_of(alignment).context(TOO_LARGE)
}

fn sum(one: u32, other: u32) -> Result<u32> {
    one.checked_add(other).context(TOO_LARGE)
}

fn pad(bytes: &mut Vec<u8>, alignment: u32) {
    bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
}
