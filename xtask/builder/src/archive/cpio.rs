//! The archive that the kernel unpacks (cpio, format "newc"), the same bytes for the same entries.

use std::{
    collections::HashMap,
    io::{Read, Write},
    ops::Range,
};

use anyhow::{Context, Result, ensure};
use cpio::{NewcBuilder, NewcReader};

use super::compress::{self, Compression};

/// What an archive in newc format begins with.
const MAGIC: &[u8] = b"070701";

/// Bits of an entry's mode that tell what it is, as in stat(2).
pub const KIND: u32 = 0o170000;
pub const FILE: u32 = 0o100000;
pub const DIRECTORY: u32 = 0o040000;
pub const CHARACTER_DEVICE: u32 = 0o020000;
pub const SYMLINK: u32 = 0o120000;

/// One file, directory, device or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, without a leading slash.
    pub path: String,
    /// Kind and permissions.
    pub mode: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Contents of a file, target of a symbolic link.
    pub data: Vec<u8>,
}

impl Entry {
    pub fn directory(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: DIRECTORY | 0o755,
            device: (0, 0),
            data: Vec::new(),
        }
    }

    pub fn file(path: &str, permissions: u32, data: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            mode: FILE | permissions,
            device: (0, 0),
            data,
        }
    }

    pub fn character_device(path: &str, permissions: u32, device: (u32, u32)) -> Self {
        Self {
            path: path.to_owned(),
            mode: CHARACTER_DEVICE | permissions,
            device,
            data: Vec::new(),
        }
    }

    pub fn symlink(path: &str, target: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: SYMLINK | 0o777,
            device: (0, 0),
            data: target.as_bytes().to_vec(),
        }
    }
}

/// For each entry, the first of the files that are equal to it: those become hard links of one.
pub fn links(entries: &[&Entry]) -> Vec<usize> {
    let mut seen = HashMap::new();
    let mut firsts = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        firsts.push(match entry.mode & KIND {
            FILE if !entry.data.is_empty() => {
                *seen.entry((entry.mode, &entry.data)).or_insert(place)
            }
            _ => place,
        });
    }
    firsts
}

/// Packs the entries in the order given: owned by root, at time 0, with inode numbers counted from 1. Of equal files the last has the
/// data, and the others are hard links of it.
pub fn pack<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Vec<u8>> {
    let entries: Vec<&Entry> = entries.into_iter().collect();
    let links = links(&entries);
    let mut archive = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let equal = || links.iter().filter(|first| **first == links[place]);
        let is_last = !links[place + 1..].contains(&links[place]);
        let data = if is_last { entry.data.as_slice() } else { &[] };
        let size = u32::try_from(data.len()).with_context(|| {
            format!(
                "{}: too large for an initrd, which has 32 bits for a size",
                entry.path
            )
        })?;
        let mut file = NewcBuilder::new(&entry.path)
            .ino(links[place] as u32 + 1)
            .mode(entry.mode)
            .nlink(match entry.mode & KIND {
                DIRECTORY => 2,
                _ => equal().count() as u32,
            })
            .rdev_major(entry.device.0)
            .rdev_minor(entry.device.1)
            .write(&mut archive, size);
        file.write_all(data)?;
        file.finish()?;
    }
    cpio::newc::trailer(&mut archive)?;
    Ok(archive)
}

/// Reads an archive back; hard links come back as files of their own.
pub fn unpack(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut rest = archive;
    let mut entries: Vec<Entry> = Vec::new();
    // By inode number: the names of one file.
    let mut links: HashMap<u32, Vec<usize>> = HashMap::new();
    loop {
        let mut reader = NewcReader::new(rest).context("not a cpio archive in newc format")?;
        let header = reader.entry();
        if header.is_trailer() {
            return Ok(entries);
        }
        let mut entry = Entry {
            path: header.name().trim_end_matches('\0').to_owned(),
            mode: header.mode(),
            device: (header.rdev_major(), header.rdev_minor()),
            data: Vec::new(),
        };
        let (size, inode) = (header.file_size(), header.ino());
        let is_linked = entry.mode & KIND == FILE && header.nlink() > 1;
        reader.read_to_end(&mut entry.data)?;
        ensure!(
            entry.data.len() == size as usize,
            "{}: the archive ends within it",
            entry.path
        );
        rest = reader.finish().context("the archive ends early")?;
        if is_linked {
            let names = links.entry(inode).or_default();
            names.push(entries.len());
            for name in names.iter().filter(|_| size > 0) {
                if let Some(other) = entries.get_mut(*name) {
                    other.data.clone_from(&entry.data);
                }
            }
        }
        entries.push(entry);
    }
}

/// Reads every archive of an initrd, as the kernel unpacks them one after the other.
pub fn unpack_all(initrd: &[u8]) -> Result<Vec<Vec<Entry>>> {
    let (archives, _) = archives(initrd)?;
    archives.iter().map(|archive| unpack(archive)).collect()
}

/// The archives of an initrd: those in front, which are not compressed, and what the rest unpacks to; and how that is compressed.
pub fn archives(initrd: &[u8]) -> Result<(Vec<Vec<u8>>, Compression)> {
    let mut archives = Vec::new();
    let mut rest = initrd;
    loop {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest = &rest[zeros..];
        if rest.is_empty() {
            return Ok((archives, Compression::None));
        }
        if !rest.starts_with(MAGIC) {
            let compression = compress::of(rest);
            let unpacked = compress::unpack(rest.to_vec())?;
            ensure!(
                unpacked.starts_with(MAGIC),
                "not an initrd: neither a cpio archive nor one that is packed with gzip, xz or zstd"
            );
            archives.extend(self::archives(&unpacked)?.0);
            return Ok((archives, compression));
        }
        let (archive, behind) = rest.split_at(walk(rest)?.1);
        archives.push(archive.to_vec());
        rest = behind;
    }
}

/// An entry's path, and where it lies in the archive.
type Placed = (String, Range<usize>);

/// The entries of the archive that these bytes begin with, each with its path and where it lies, and the archive's length.
pub fn walk(bytes: &[u8]) -> Result<(Vec<Placed>, usize)> {
    let mut entries = Vec::new();
    let mut start = 0;
    loop {
        let reader =
            NewcReader::new(&bytes[start..]).context("not a cpio archive in newc format")?;
        let is_trailer = reader.entry().is_trailer();
        let path = reader.entry().name().trim_end_matches('\0').to_owned();
        let rest = reader.finish().context("the archive ends early")?;
        let end = bytes.len() - rest.len();
        if is_trailer {
            return Ok((entries, end));
        }
        entries.push((path, start..end));
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write,
        os::unix::fs::MetadataExt,
        process::{Command, Stdio},
    };

    use super::{Compression, Entry, pack, unpack, unpack_all};

    fn sample() -> Vec<Entry> {
        vec![
            Entry::file("init", 0o755, b"\x7fELF!".to_vec()),
            Entry::directory("dev"),
            Entry::character_device("dev/console", 0o600, (5, 1)),
            Entry::symlink("bin", "dev"),
        ]
    }

    #[test]
    fn exact_bytes() {
        // Inode, mode, uid, gid, nlink, mtime, size, device (2), device number (2), name's size, checksum.
        let want = [
            "070701",
            "00000001000081ed000000000000000000000001000000000000000500000000000000000000000000000000",
            "0000000500000000init\0\0",
            "\x7fELF!\0\0\0",
            "070701",
            "00000002000041ed000000000000000000000002000000000000000000000000000000000000000000000000",
            "0000000400000000dev\0\0\0",
            "070701",
            "0000000300002180000000000000000000000001000000000000000000000000000000000000000500000001",
            "0000000c00000000dev/console\0\0\0",
            "070701",
            "000000040000a1ff000000000000000000000001000000000000000300000000000000000000000000000000",
            "0000000400000000bin\0\0\0dev\0",
            "070701",
            "0000000000000000000000000000000000000001000000000000000000000000000000000000000000000000",
            "0000000b00000000TRAILER!!!\0\0\0\0",
        ]
        .concat();
        let got = pack(&sample()).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), want);
    }

    #[test]
    fn comes_back() {
        let archive = pack(&sample()).unwrap();
        assert_eq!(unpack(&archive).unwrap(), sample());
        for len in 0..archive.len() - 4 {
            assert!(unpack(&archive[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn equal_files_are_hard_links() {
        let file =
            |path: &str, permissions, data: &[u8]| Entry::file(path, permissions, data.to_vec());
        let entries = vec![
            file("a", 0o644, b"same"),
            file("b", 0o755, b"same"),
            file("c", 0o644, b"same"),
            file("d", 0o644, b""),
            file("e", 0o644, b""),
            file("f", 0o644, b"same"),
        ];
        let archive = pack(&entries).unwrap();
        assert_eq!(unpack(&archive).unwrap(), entries);
        let same = archive.windows(4).filter(|bytes| bytes == b"same").count();
        assert_eq!(same, 2);

        let room = tempfile::tempdir().unwrap();
        let mut cpio = Command::new("cpio")
            .args(["--extract", "--quiet"])
            .current_dir(&room)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(cpio.wait().unwrap().success());
        let stat = |name: &str| fs::metadata(room.path().join(name)).unwrap();
        for (name, links, bytes) in [
            ("a", 3, 4),
            ("b", 1, 4),
            ("c", 3, 4),
            ("d", 1, 0),
            ("f", 3, 4),
        ] {
            assert_eq!(
                (stat(name).nlink(), stat(name).len()),
                (links, bytes),
                "{name}"
            );
        }
        assert_eq!(stat("a").ino(), stat("f").ino());
    }

    #[test]
    fn archives_behind_each_other() {
        let [first, second] = ["a", "b"].map(|name| vec![Entry::file(name, 0o644, vec![7; 9])]);
        let mut both = pack(&first).unwrap();
        both.resize(both.len().next_multiple_of(512), 0);
        let plain = pack(&second).unwrap();
        for compression in [Compression::None, Compression::Zstd] {
            let all = [both.clone(), compression.pack(plain.clone()).unwrap()].concat();
            assert_eq!(unpack_all(&all).unwrap(), [first.clone(), second.clone()]);
        }
        assert!(unpack_all(&[&both[..], b"text"].concat()).is_err());
        assert!(unpack_all(&both[..40]).is_err());
        assert!(unpack_all(&[]).unwrap().is_empty());
    }
}
