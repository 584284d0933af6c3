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
    cpio::{self, Entry},
    tree::read,
};
use crate::{apt::Apt, arch::Arch, cache, paths};

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

/// The archive that goes in front: what these paths have. Each is an archive made elsewhere, or a folder `intel-ucode` or `amd-ucode` as
/// linux-firmware and Debian's packages have them, or one that holds such.
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
        for entry in cpio::unpack(&read(path)?)? {
            if let Some(vendor) = VENDORS.iter().find(|vendor| vendor.file == entry.path) {
                (vendor.check)(&entry.data)?;
                found.push((vendor.file, entry.data));
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
        // Signatures and documents lie among them.
        let is_other = file
            .extension()
            .is_some_and(|extension| extension == "asc" || extension == "README");
        if file.is_file() && !is_other && !file.ends_with("README") {
            files.push(file);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let data = read(&file)?;
        check(&data).with_context(|| file.display().to_string())?;
        all.extend(data);
    }
    ensure!(!all.is_empty(), "{} is empty", folder.display());
    Ok(all)
}

/// The folder lib/firmware of Debian's packages with microcode, fetched now or found where they were unpacked before.
pub fn debian() -> Result<PathBuf> {
    let folder = cache::folder(&paths::output().join("microcode"), |folder| {
        let apt = Apt::open("bookworm", Arch::X86_64)?;
        let packages = ["intel-microcode", "amd64-microcode"];
        apt.fresh(|| {
            packages
                .iter()
                .try_for_each(|package| apt.unpack(package, folder))
        })
    })?;
    Ok(folder.join("lib/firmware"))
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

#[cfg(test)]
mod tests {
    use super::*;
    /// An update as Intel's: a header, `bytes` of data.
    fn intel(bytes: u32) -> Vec<u8> {
        let mut words = vec![0u32; 12 + bytes as usize / 4];
        words[0] = 1;
        words[3] = 0x000906ea;
        words[7] = bytes;
        words[8] = bytes + 48;
        words[12] = 0xdead;
        words[4] = 0u32.wrapping_sub(words.iter().copied().fold(0, u32::wrapping_add));
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn amd(patch: &[u8]) -> Vec<u8> {
        let number = |number: usize| (number as u32).to_le_bytes().to_vec();
        let table = vec![0; 32];
        [
            b"DMA\0".to_vec(),
            number(0),
            number(table.len()),
            table,
            number(1),
            number(patch.len()),
            patch.to_vec(),
        ]
        .concat()
    }

    /// Where the kernel finds a file before it unpacks anything (lib/earlycpio.c): from header to header, over zeros between them, by what
    /// the name starts with.
    fn kernel_finds<'a>(mut archive: &'a [u8], path: &str) -> Option<(usize, &'a [u8])> {
        let whole = archive.len();
        while archive.len() > HEADER {
            if archive[0] == 0 {
                archive = &archive[4..];
                continue;
            }
            let field = |number: usize| {
                let at = 6 + number * 8;
                usize::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16)
                    .unwrap()
            };
            assert!(archive.starts_with(b"070701"));
            let (mode, size, name) = (field(1), field(6), field(11));
            let at = (HEADER + name).next_multiple_of(4);
            let is_file = mode & 0o170000 == 0o100000;
            if is_file && archive[HEADER..].starts_with(path.as_bytes()) {
                return Some((whole - archive.len() + at, &archive[at..at + size]));
            }
            archive = &archive[(at + size).next_multiple_of(4)..];
        }
        None
    }

    #[test]
    fn the_kernel_finds_both_vendors() {
        let room = tempfile::tempdir().unwrap();
        let write = |path: &str, data: &[u8]| {
            let path = room.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, data).unwrap();
        };
        write("firmware/intel-ucode/06-9e-0a", &intel(2000));
        write("firmware/intel-ucode/06-01-01", &intel(48));
        write(
            "firmware/amd-ucode/microcode_amd_fam17h.bin",
            &amd(b"patch 17"),
        );
        write("firmware/amd-ucode/microcode_amd.bin", &amd(b"patch"));
        write("firmware/amd-ucode/microcode_amd.bin.asc", b"signature");
        write("firmware/amd-ucode/README", b"text");
        let firmware = room.path().join("firmware");
        let both = archive(std::slice::from_ref(&firmware)).unwrap();
        assert_eq!(both.len() % 4, 0);
        for (file, want) in [
            (VENDORS[0].file, [amd(b"patch"), amd(b"patch 17")].concat()),
            (VENDORS[1].file, [intel(48), intel(2000)].concat()),
        ] {
            let (at, data) = kernel_finds(&both, file).unwrap();
            assert_eq!((data, at % ALIGNMENT), (want.as_slice(), 0), "{file}");
        }
        // One folder for each, and archives made elsewhere, give the same.
        let folders = ["amd-ucode", "intel-ucode"].map(|name| firmware.join(name));
        assert_eq!(archive(&folders).unwrap(), both);
        let made = room.path().join("made.cpio");
        fs::write(&made, &both).unwrap();
        assert_eq!(archive(&[made]).unwrap(), both);
        assert!(archive(&[]).unwrap().is_empty());
    }

    /// Debian's packages, unpacked once.
    #[test]
    fn that_of_debian() {
        let firmware = debian().unwrap();
        let both = archive(std::slice::from_ref(&firmware)).unwrap();
        for vendor in &VENDORS {
            let (at, data) = kernel_finds(&both, vendor.file).unwrap();
            assert_eq!(at % ALIGNMENT, 0);
            let files = fs::read_dir(firmware.join(vendor.folder)).unwrap();
            let bytes: u64 = files
                .map(|file| file.unwrap())
                .filter(|file| !file.file_name().to_string_lossy().ends_with("README"))
                .map(|file| file.metadata().unwrap().len())
                .sum();
            assert_eq!(data.len() as u64, bytes, "{}", vendor.folder);
            assert!(bytes > 10_000, "{bytes}");
        }
    }

    #[test]
    fn what_no_kernel_takes_is_refused() {
        let room = tempfile::tempdir().unwrap();
        let refuse = |folder: &str, data: &[u8], want: &str| {
            let folder = room.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("file"), data).unwrap();
            let error = format!("{:#}", archive(&[folder]).unwrap_err());
            assert!(error.contains(want), "{error}\nlacks {want}");
        };
        let update = intel(2000);
        refuse("intel-ucode", &update[..1000], "cut off");
        refuse("intel-ucode", b"text", "no header of version 1");
        refuse("intel-ucode", b"", "is empty");
        let mut damaged = update.clone();
        damaged[100] ^= 1;
        refuse("intel-ucode", &damaged, "checksum is wrong");
        let container = amd(b"patch");
        refuse("amd-ucode", &container[..container.len() - 1], "cut off");
        refuse("amd-ucode", &update, "no microcode of AMD's");
        refuse(
            "other",
            &update,
            "neither a folder intel-ucode or amd-ucode",
        );
        for len in 1..update.len() {
            assert!(check_intel(&update[..len]).is_err(), "{len}");
        }
        for len in 0..container.len() {
            let is_whole_table = len == 44;
            assert_eq!(
                check_amd(&container[..len]).is_err(),
                !is_whole_table,
                "{len}"
            );
        }
    }
}
