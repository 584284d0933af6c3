//! Updates of the processor's microcode, in front of an initrd, where the kernel looks before it unpacks anything.
//!
//! Source: Documentation/arch/x86/microcode.rst; the formats are those of arch/x86/kernel/cpu/microcode/{intel,amd}.c.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    compress,
    cpio::{self, Entry},
    pieces, read,
};

/// A vendor's folder below lib/firmware, the file that the kernel looks for, and what is updates of that vendor.
struct Vendor {
    folder: &'static str,
    file: &'static str,
    check: fn(&[u8]) -> Result<()>,
}

const VENDORS: [Vendor; 2] = [
    Vendor {
        folder: "amd-ucode",
        file: "kernel/x86/microcode/AuthenticAMD.bin",
        check: check_amd,
    },
    Vendor {
        folder: "intel-ucode",
        file: "kernel/x86/microcode/GenuineIntel.bin",
        check: check_intel,
    },
];

/// Data that a processor reads where it lies in the initrd has to lie at a multiple of this.
const ALIGNMENT: usize = 16;
/// Bytes of an entry's header in the archive.
const HEADER: usize = 110;

/// The archive that goes in front: what these paths have. Each is an archive made elsewhere, compressed or not, or a folder `intel-ucode` or
/// `amd-ucode` as linux-firmware and the packages of distributions have them, or one that holds such.
pub fn archive(paths: &[PathBuf]) -> Result<Vec<u8>> {
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for path in paths {
        let found = find(path).with_context(|| format!("microcode {}", path.display()))?;
        for (file, data) in found {
            files.entry(file).or_default().extend(data);
        }
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut entries: Vec<Entry> = ["kernel", "kernel/x86", "kernel/x86/microcode"]
        .map(Entry::directory)
        .into();
    for (file, data) in files {
        // The name ends with as many zeros as bring the data to its place.
        let start = cpio::pack(&entries)?.len() - TRAILER + HEADER;
        let name = (start + file.len() + 1).next_multiple_of(ALIGNMENT) - start;
        let path = format!("{file:\0<width$}", width = name - 1);
        entries.push(Entry::file(&path, 0o644, data));
    }
    cpio::pack(&entries)
}

/// Bytes of an archive's end: a header and `TRAILER!!!`, padded.
const TRAILER: usize = 124;

/// The files for the kernel that are at `path`, each with its data.
fn find(path: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut found = Vec::new();
    if !path.is_dir() {
        for piece in pieces::read(&read(path)?) {
            for entry in piece?
                .archives()?
                .into_iter()
                .flat_map(|archive| archive.members)
                .map(|member| member.entry)
            {
                if let Some(vendor) = VENDORS.iter().find(|vendor| vendor.file == entry.path) {
                    (vendor.check)(&entry.data)?;
                    found.push((vendor.file, entry.data));
                }
            }
        }
    } else {
        for vendor in &VENDORS {
            let inside = path.join(vendor.folder);
            let folder = match path.ends_with(vendor.folder) {
                true => path,
                false => &inside,
            };
            if folder.is_dir() {
                found.push((vendor.file, updates(folder, vendor.check)?));
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "nothing for the kernel in it: neither a folder intel-ucode or amd-ucode nor an archive with {}",
        VENDORS.map(|vendor| vendor.file).join(" or ")
    );
    Ok(found)
}

/// All of a folder's updates, by name.
fn updates(folder: &Path, check: fn(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
    let listing =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for file in listing {
        let file = file?.path();
        if file.is_file() && !is_paper(&file) {
            files.push(file);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let data = compress::unpack(read(&file)?).with_context(|| file.display().to_string())?;
        check(&data).with_context(|| file.display().to_string())?;
        all.extend(data);
    }
    ensure!(!all.is_empty(), "{} is empty", folder.display());
    Ok(all)
}

/// Signatures and documents lie among the updates, compressed as these are.
fn is_paper(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut name = name.as_ref();
    for suffix in [".xz", ".zst", ".gz"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    let begins = ["README", "LICENSE", "LICENCE"]
        .iter()
        .any(|start| name.starts_with(start));
    let ends = [".asc", ".sig", ".txt", ".md", ".README"]
        .iter()
        .any(|end| name.ends_with(end));
    begins || ends
}

/// A number of 32 bits, little-endian.
fn word(data: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*data.get(offset..)?.first_chunk()?))
}

/// Updates follow each other: header version 1, total size at 32 (0 for 2,048), of which the words add up to 0.
fn check_intel(data: &[u8]) -> Result<()> {
    let mut rest = data;
    while !rest.is_empty() {
        let total = match (word(rest, 0), word(rest, 28), word(rest, 32)) {
            (Some(1), Some(0), Some(_)) => 2048,
            (Some(1), Some(_), Some(total)) => total as usize,
            _ => bail!("it is no microcode of Intel's: no header of version 1"),
        };
        let update = rest.get(..total).filter(|_| total >= 48 && total % 4 == 0);
        let update = update.context("it is cut off, or its length is wrong")?;
        let words = (0..total).step_by(4).filter_map(|at| word(update, at));
        ensure!(
            words.fold(0, u32::wrapping_add) == 0,
            "it is damaged: its checksum is wrong"
        );
        rest = &rest[total..];
    }
    Ok(())
}

/// A magic number, a table of processors, and patches: each a section with type and length.
fn check_amd(data: &[u8]) -> Result<()> {
    let mut rest = data;
    ensure!(!rest.is_empty(), "it is empty");
    let mut is_first = true;
    while !rest.is_empty() {
        // Several files behind each other begin anew.
        if rest.starts_with(b"DMA\0") {
            rest = &rest[4..];
            is_first = true;
        }
        let kind = if is_first { 0 } else { 1 };
        let (Some(found), Some(length)) = (word(rest, 0), word(rest, 4)) else {
            bail!("it is cut off");
        };
        ensure!(
            found == kind && (rest.len() < data.len()),
            "it is no microcode of AMD's: no container with a table of processors and patches"
        );
        let next = rest.get(8..).and_then(|rest| rest.get(length as usize..));
        rest = next.context("it is cut off")?;
        is_first = false;
    }
    Ok(())
}
