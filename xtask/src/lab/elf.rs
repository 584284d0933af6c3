//! What the kernel loads of an ELF file, and nothing else: checks on the linked init, and the cut behind its last segment.

use anyhow::{Context, Result, bail, ensure};
use object::{
    Endianness::Little,
    elf::{self, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};

type Header = FileHeader64<object::Endianness>;

/// The init as it ships: `linked` cut behind the file bytes of its last PT_LOAD segment, without a section table.
///
/// Refuses a file that needs a loader or relocating, or that maps memory writable and executable at once.
pub fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let header = Header::parse(linked).context("not an ELF file of 64 bits")?;
    ensure!(
        header.is_little_endian() && header.e_type(Little) == elf::ET_EXEC,
        "not a static little-endian executable (e_type {})",
        header.e_type(Little)
    );
    let mut end = header
        .e_phoff(Little)
        .saturating_add(u64::from(header.e_phnum(Little)) * u64::from(header.e_phentsize(Little)));
    for segment in header.program_headers(Little, linked)? {
        check_segment(segment)?;
        // A segment without file bytes (.bss) may claim any offset.
        if segment.p_type(Little) == elf::PT_LOAD && segment.p_filesz(Little) != 0 {
            end = end.max(
                segment
                    .p_offset(Little)
                    .saturating_add(segment.p_filesz(Little)),
            );
        }
    }
    check_sections(header, linked)?;

    let kept = linked
        .get(..usize::try_from(end)?)
        .context("a segment lies beyond the end of the file")?;
    let mut stripped = kept.to_vec();
    let (header, _) = object::pod::from_bytes_mut::<Header>(&mut stripped)
        .ok()
        .context("the file ends within its header")?;
    header.e_shoff.set(Little, 0);
    header.e_shentsize.set(Little, 0);
    header.e_shnum.set(Little, 0);
    header.e_shstrndx.set(Little, elf::SHN_UNDEF);
    Ok(stripped)
}

fn check_segment(segment: &impl ProgramHeader<Endian = object::Endianness>) -> Result<()> {
    match segment.p_type(Little) {
        elf::PT_INTERP => bail!("it asks for an interpreter (PT_INTERP), so it is not static"),
        elf::PT_DYNAMIC => bail!("it has a dynamic section (PT_DYNAMIC), so it is not static"),
        _ => {}
    }
    let flags = segment.p_flags(Little);
    ensure!(
        flags & (elf::PF_W | elf::PF_X) != elf::PF_W | elf::PF_X,
        "segment of type {:#x} at {:#x} is writable and executable at once",
        segment.p_type(Little),
        segment.p_vaddr(Little).into()
    );
    Ok(())
}

fn check_sections(header: &Header, linked: &[u8]) -> Result<()> {
    let sections = header.sections(Little, linked)?;
    for section in sections.iter() {
        if matches!(section.sh_type(Little), elf::SHT_REL | elf::SHT_RELA)
            && section.sh_size(Little) != 0
        {
            let name = sections.section_name(Little, section).unwrap_or(b"?");
            bail!(
                "it has relocations to apply when it starts (section {})",
                String::from_utf8_lossy(name)
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::strip;

    const LOAD: u32 = 1;
    const DYNAMIC: u32 = 2;
    const INTERP: u32 = 3;

    /// An executable with a program header (type, flags, file size at offset 0) each, then `tail` bytes and no sections.
    fn executable(kind: u16, segments: &[(u32, u32, u64)], tail: usize) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(kind.to_le_bytes());
        file.extend(62u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        for field in [0x400000u64, 64, 0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for field in [64, 56, segments.len() as u16, 64, 0, 0] {
            file.extend(field.to_le_bytes());
        }
        for (kind, flags, len) in segments {
            file.extend(kind.to_le_bytes());
            file.extend(flags.to_le_bytes());
            for field in [
                if *len == 0 { 0x8000 } else { 0 },
                0x400000,
                0x400000,
                *len,
                *len,
                0x1000,
            ] {
                file.extend(field.to_le_bytes());
            }
        }
        file.extend(std::iter::repeat_n(0xEE, tail));
        file
    }

    #[test]
    fn cuts_behind_the_last_segment() {
        let linked = executable(2, &[(LOAD, 5, 300), (LOAD, 6, 0)], 1000);
        let stripped = strip(&linked).unwrap();
        assert_eq!(stripped.len(), 300);
        // e_shentsize is the one section field that the sample has set.
        assert_eq!(stripped[..58], linked[..58]);
        assert_eq!(stripped[58..64], [0; 6]);
        assert_eq!(stripped[64..], linked[64..300]);
    }

    #[test]
    fn refuses_what_cannot_be_an_init() {
        for (linked, want) in [
            (executable(3, &[(LOAD, 5, 300)], 1000), "static"),
            (executable(2, &[(INTERP, 4, 10)], 1000), "PT_INTERP"),
            (executable(2, &[(DYNAMIC, 4, 10)], 1000), "PT_DYNAMIC"),
            (executable(2, &[(LOAD, 7, 300)], 1000), "writable and exec"),
            (executable(2, &[(LOAD, 5, 3000)], 1000), "beyond the end"),
            (b"#!/bin/sh\n".to_vec(), "not an ELF"),
        ] {
            let error = format!("{:#}", strip(&linked).unwrap_err());
            assert!(error.contains(want), "{error} lacks {want}");
        }
    }
}
