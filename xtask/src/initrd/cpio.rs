//! The archive that the kernel unpacks (cpio, format "newc"), the same bytes for the same entries.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use cpio::{NewcBuilder, NewcReader};

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

/// Packs the entries in the order given: owned by root, at time 0, with inode numbers counted from 1.
pub fn pack<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (inode, entry) in (1..).zip(entries) {
        let size = u32::try_from(entry.data.len()).with_context(|| {
            format!(
                "{}: too large for an initrd, which has 32 bits for a size",
                entry.path
            )
        })?;
        let mut file = NewcBuilder::new(&entry.path)
            .ino(inode)
            .mode(entry.mode)
            .nlink(if entry.mode & KIND == DIRECTORY { 2 } else { 1 })
            .rdev_major(entry.device.0)
            .rdev_minor(entry.device.1)
            .write(&mut archive, size);
        file.write_all(&entry.data)?;
        file.finish()?;
    }
    cpio::newc::trailer(&mut archive)?;
    Ok(archive)
}

/// Reads an archive back.
pub fn unpack(mut archive: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        let mut reader = NewcReader::new(archive).context("not a cpio archive in newc format")?;
        let header = reader.entry();
        if header.is_trailer() {
            return Ok(entries);
        }
        let mut entry = Entry {
            path: header.name().to_owned(),
            mode: header.mode(),
            device: (header.rdev_major(), header.rdev_minor()),
            data: Vec::new(),
        };
        let size = header.file_size();
        reader.read_to_end(&mut entry.data)?;
        ensure!(
            entry.data.len() == size as usize,
            "{}: the archive ends within it",
            entry.path
        );
        archive = reader.finish().context("the archive ends early")?;
        entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, pack, unpack};

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
}
