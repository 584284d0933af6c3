//! What things weigh: the init by section and symbol, initrds by file, and the budget that they must keep.

pub mod budget;
pub mod report;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use object::{
    Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind, SegmentFlags, SymbolSection,
    elf,
};
use serde::Serialize;

use crate::initrd::{Contents, Request, compress, cpio, manifest::Kind};

/// Bytes of a thing as it is and as zstd -19 packs it.
#[derive(Debug, Clone, Serialize)]
pub struct Weight {
    pub name: String,
    pub raw: usize,
    pub zstd: usize,
}

impl Weight {
    /// Weighs the file at `path`.
    pub fn read(name: &str, path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::of(name, &bytes)
    }

    fn of(name: &str, bytes: &[u8]) -> Result<Self> {
        let zstd = compress::zstd(bytes)?.len();
        Ok(Self {
            name: name.to_owned(),
            raw: bytes.len(),
            zstd,
        })
    }
}

/// A part of the init.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    pub name: String,
    /// In the file.
    pub bytes: u64,
    /// In memory.
    pub memory: u64,
}

/// The init as it ships, and what its twin with symbols says about it.
#[derive(Debug, Serialize)]
pub struct Init {
    pub total: Weight,
    pub segments: Vec<Part>,
    pub sections: Vec<Part>,
    /// Largest first; only what takes bytes in the file.
    pub symbols: Vec<Part>,
}

impl Init {
    /// Weighs the init at `path`; `init.debug` must lie beside it.
    pub fn weigh(name: &str, path: &Path) -> Result<Self> {
        let total = Weight::read(name, path)?;
        let debug = path.with_extension("debug");
        let twin = fs::read(&debug).with_context(|| format!("cannot read {}", debug.display()))?;
        let file =
            object::File::parse(twin.as_slice()).with_context(|| debug.display().to_string())?;

        let segments = file.segments().map(|segment| {
            let (_, bytes) = segment.file_range();
            Part {
                name: rights(segment.flags()),
                bytes,
                memory: segment.size(),
            }
        });
        let sections = file
            .sections()
            .filter(|section| section.address() != 0)
            .map(|section| Part {
                name: section.name().unwrap_or("?").to_owned(),
                bytes: section.file_range().map_or(0, |(_, bytes)| bytes),
                memory: section.size(),
            });
        let in_file = |index| {
            file.section_by_index(index)
                .is_ok_and(|section| section.kind() != SectionKind::UninitializedData)
        };
        let mut symbols: Vec<Part> = file
            .symbols()
            .filter(|symbol| {
                symbol.size() > 0
                    && matches!(symbol.section(), SymbolSection::Section(index) if in_file(index))
            })
            .map(|symbol| Part {
                name: format!(
                    "{:#}",
                    rustc_demangle::demangle(symbol.name().unwrap_or("?"))
                ),
                bytes: symbol.size(),
                memory: symbol.size(),
            })
            .collect();
        symbols.sort_by(|one, other| (other.bytes, &one.name).cmp(&(one.bytes, &other.name)));
        Ok(Self {
            total,
            segments: segments.collect(),
            sections: sections.collect(),
            symbols,
        })
    }
}

/// A segment's rights, as in `r-x`.
fn rights(flags: SegmentFlags) -> String {
    let SegmentFlags::Elf { p_flags, .. } = flags else {
        return "?".to_owned();
    };
    let right = |bit, letter| if p_flags.contains(bit) { letter } else { '-' };
    [
        right(elf::PF_R, 'r'),
        right(elf::PF_W, 'w'),
        right(elf::PF_X, 'x'),
    ]
    .iter()
    .collect()
}

/// An initrd, by file.
#[derive(Debug, Serialize)]
pub struct Initrd {
    /// Name of the profile.
    pub profile: String,
    /// Release of the kernel.
    pub release: String,
    /// An archive of everything that is not a module.
    pub userland: Weight,
    /// Its files, each packed by itself.
    pub files: Vec<Weight>,
    pub modules: usize,
    pub module_bytes: usize,
    /// Largest first.
    pub largest_modules: Vec<Part>,
    /// The whole archive; packing the modules takes a while, so only when asked for.
    pub whole: Option<Weight>,
}

impl Initrd {
    /// Weighs what `request` describes; `full` packs the modules too.
    pub fn weigh(profile: &str, request: &Request, full: bool) -> Result<Self> {
        let contents = Contents::gather(request)?;
        let is_module = |kind| kind == Kind::Module;
        let userland = contents
            .entries
            .iter()
            .filter(|(_, item)| !is_module(item.kind));
        let archive = cpio::pack(userland.clone().map(|(entry, _)| entry))?;
        let files = userland
            .filter(|(entry, _)| !entry.data.is_empty())
            .map(|(entry, _)| Weight::of(&entry.path, &entry.data))
            .collect::<Result<_>>()?;
        let mut modules: Vec<Part> = contents
            .entries
            .iter()
            .filter(|(_, item)| is_module(item.kind))
            .map(|(entry, _)| {
                let bytes = entry.data.len() as u64;
                Part {
                    name: entry.path.clone(),
                    bytes,
                    memory: bytes,
                }
            })
            .collect();
        modules.sort_by(|one, other| (other.bytes, &one.name).cmp(&(one.bytes, &other.name)));
        let whole = match full {
            true => Some(Weight::of(
                "whole",
                &cpio::pack(contents.entries.iter().map(|(entry, _)| entry))?,
            )?),
            false => None,
        };
        Ok(Self {
            profile: profile.to_owned(),
            release: contents.release().to_owned(),
            userland: Weight::of("userland", &archive)?,
            files,
            modules: modules.len(),
            module_bytes: modules.iter().map(|module| module.bytes as usize).sum(),
            largest_modules: modules.into_iter().take(10).collect(),
            whole,
        })
    }
}
