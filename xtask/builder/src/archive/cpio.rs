//! The archive that the kernel unpacks (cpio, format "newc"), the same bytes for the same entries.

use std::{
    collections::HashMap,
    io::{Read, Write},
    ops::Range,
};

use anyhow::{Context, Result, ensure};
use cpio::{NewcBuilder, NewcReader};

use super::pieces;

/// Bits of an entry's mode that tell what it is, as in stat(2).
pub const KIND: u32 = 0o170000;
pub const FILE: u32 = 0o100000;
pub const DIRECTORY: u32 = 0o040000;
pub const CHARACTER_DEVICE: u32 = 0o020000;
pub const BLOCK_DEVICE: u32 = 0o060000;
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

    /// Its path from the initrd's root, which archives of others write as `./a` or `/a`, too.
    pub fn inside(&self) -> &str {
        let mut path = self.path.as_str();
        while let Some(rest) = path.strip_prefix("./").or(path.strip_prefix('/')) {
            path = rest;
        }
        path
    }

    /// Target of a symbolic link; some programs end it with a zero.
    pub fn target(&self) -> &[u8] {
        let mut parts = self.data.split(|byte| *byte == 0);
        parts.next().unwrap_or_default()
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

/// An archive, read back.
#[derive(Debug)]
pub struct Archive<'a> {
    /// Up to the padding behind its trailer.
    pub bytes: &'a [u8],
    pub members: Vec<Member>,
}

/// An entry as it is in an archive.
#[derive(Debug)]
pub struct Member {
    pub entry: Entry,
    /// Where it lies in the archive, with its header and its padding.
    pub place: Range<usize>,
    /// Numbers of user and group.
    pub owner: (u32, u32),
    /// The first entry that is a name of the same file, counted from the archive's first.
    pub link: Option<usize>,
}

/// Reads the archive that these bytes begin with. Each name of a file has its data, whichever of
/// them has it in the archive.
pub fn read(bytes: &[u8]) -> Result<Archive<'_>> {
    let mut members: Vec<Member> = Vec::new();
    // By device and inode number: the names of one file.
    let mut links: HashMap<(u32, u32, u32), Vec<usize>> = HashMap::new();
    let mut start = 0;
    loop {
        let mut reader = NewcReader::new(&bytes[start..])
            .with_context(|| format!("its entry at byte {start} is damaged or cut off"))?;
        let header = reader.entry();
        let is_trailer = header.is_trailer();
        // The kernel reads a name up to its first zero.
        let path = header.name().split('\0').next().unwrap_or_default();
        let mut member = Member {
            entry: Entry {
                path: path.to_owned(),
                mode: header.mode(),
                device: (header.rdev_major(), header.rdev_minor()),
                data: Vec::new(),
            },
            place: start..start,
            owner: (header.uid(), header.gid()),
            link: None,
        };
        let (size, checksum) = (header.file_size() as usize, header.checksum());
        let file = (header.dev_major(), header.dev_minor(), header.ino());
        let is_file = member.entry.mode & KIND == FILE;
        let is_linked = is_file && header.nlink() > 1;
        let damaged = |how: &str| format!("{}, at byte {start} of it, {how}", member.entry.path);
        let mut data = Vec::new();
        reader.read_to_end(&mut data)?;
        ensure!(data.len() == size, damaged("is cut off"));
        let sum = data
            .iter()
            .fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        ensure!(
            !is_file || size == 0 || checksum.is_none_or(|wanted| wanted == sum),
            damaged("is damaged: its checksum is wrong")
        );
        let rest = reader
            .finish()
            .with_context(|| damaged("is cut off within its padding"))?;
        start = bytes.len() - rest.len();
        if is_trailer {
            let bytes = &bytes[..start];
            return Ok(Archive { bytes, members });
        }
        member.entry.data = data;
        member.place.end = start;
        if is_linked {
            let names = links.entry(file).or_default();
            member.link = names.first().copied();
            if let Some(first) = member.link
                && size == 0
            {
                member.entry.data.clone_from(&members[first].entry.data);
            }
            for name in names.iter().filter(|_| size > 0) {
                members[*name].entry.data.clone_from(&member.entry.data);
            }
            names.push(members.len());
        }
        members.push(member);
    }
}

/// The entries of an archive; hard links come back as files of their own.
pub fn unpack(archive: &[u8]) -> Result<Vec<Entry>> {
    let members = read(archive)?.members;
    Ok(members.into_iter().map(|member| member.entry).collect())
}

/// The entries of every archive of an initrd, as the kernel unpacks them one after the other.
pub fn unpack_all(initrd: &[u8]) -> Result<Vec<Vec<Entry>>> {
    let mut all = Vec::new();
    for piece in pieces::read(initrd) {
        for archive in piece?.archives()? {
            all.push(
                archive
                    .members
                    .into_iter()
                    .map(|member| member.entry)
                    .collect(),
            );
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write,
        os::unix::fs::MetadataExt,
        process::{Command, Stdio},
    };

    use super::{Entry, pack, read, unpack};

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

    /// Other programs have the data in whichever name of a file they like, and a checksum.
    #[test]
    fn archives_of_others() {
        let entry = |path: &str, links: u32, data: &[u8], checksum: &str| {
            let mut archive = Vec::new();
            let mut file = cpio::NewcBuilder::new(path)
                .ino(7)
                .mode(0o100600)
                .uid(5)
                .gid(6)
                .nlink(links)
                .write(&mut archive, data.len() as u32);
            file.write_all(data).unwrap();
            file.finish().unwrap();
            if !checksum.is_empty() {
                archive[5] = b'2';
                archive[102..110].copy_from_slice(checksum.as_bytes());
            }
            archive
        };
        let trailer = pack([]).unwrap();
        for (first, second) in [(&b"data"[..], &b""[..]), (b"", b"data")] {
            let archive = [entry("a", 2, first, ""), entry("b", 2, second, "")].concat();
            let members = read(&[archive, trailer.clone()].concat()).unwrap().members;
            for (member, link) in members.iter().zip([None, Some(0)]) {
                assert_eq!(member.entry.data, b"data");
                assert_eq!((member.owner, member.link), ((5, 6), link));
            }
            assert_eq!(members[1].place.start, members[0].place.end);
        }
        let sum: u32 = b"data".iter().map(|byte| u32::from(*byte)).sum();
        let good = entry("a", 1, b"data", &format!("{sum:08x}"));
        let bad = entry("long/name\0\0with\0more", 1, b"data", "00000001");
        let archive = [&good[..], &trailer].concat();
        assert_eq!(unpack(&archive).unwrap()[0].path, "a");
        let error = unpack(&[&good[..], &bad].concat()).unwrap_err().to_string();
        let want = "long/name, at byte 116 of it, is damaged: its checksum is wrong";
        assert_eq!(error, want);
        let error = unpack(&good).unwrap_err().to_string();
        assert_eq!(error, "its entry at byte 116 is damaged or cut off");
    }
}
