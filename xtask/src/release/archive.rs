//! A tar archive that depends on nothing but its files: sorted, one time, root's, fixed modes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use tar::{Builder, EntryType, Header};

use builder::archive::compress::Compression;

/// A file of the archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    pub bytes: Vec<u8>,
    pub is_program: bool,
}

impl File {
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: text.into(),
            is_program: false,
        }
    }

    pub fn program(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            is_program: true,
        }
    }
}

/// Files by their paths below the archive's one folder.
pub type Files = BTreeMap<String, File>;

/// Packs `files` below `top`, with gzip, which everything unpacks. All have the time `time`, in seconds since 1970.
pub fn pack(top: &str, files: &Files, time: u64) -> Result<Vec<u8>> {
    Compression::Gzip.pack(tar(top, files, time)?)
}

/// The same, not compressed.
pub fn tar(top: &str, files: &Files, time: u64) -> Result<Vec<u8>> {
    let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
    for (path, file) in files {
        let path = format!("{top}/{path}");
        let folders: BTreeSet<&str> = path
            .match_indices('/')
            .map(|(end, _)| &path[..=end])
            .collect();
        entries.extend(folders.into_iter().map(|folder| (folder.to_owned(), None)));
        entries.insert(path, Some(file));
    }
    let mut archive = Builder::new(Vec::new());
    for (path, file) in entries {
        let (kind, mode, bytes) = match file {
            None => (EntryType::Directory, 0o755, &[][..]),
            Some(file) if file.is_program => (EntryType::Regular, 0o755, file.bytes.as_slice()),
            Some(file) => (EntryType::Regular, 0o644, file.bytes.as_slice()),
        };
        let mut header = Header::new_ustar();
        header
            .set_path(&path)
            .with_context(|| format!("{path} does not fit into a tar archive"))?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        header.set_mtime(time);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, bytes)?;
    }
    Ok(archive.into_inner()?)
}

/// The value of SOURCE_DATE_EPOCH, if there is one: the time that what is built gets.
pub fn time(given: Option<&str>) -> Result<u64> {
    let Some(given) = given else { return Ok(0) };
    let seconds = given.parse().ok();
    // What tar's field for it holds.
    let seconds = seconds.filter(|seconds| *seconds < 1 << 33);
    ensure!(
        seconds.is_some(),
        "SOURCE_DATE_EPOCH={given} is no number of seconds since 1970"
    );
    Ok(seconds.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn sorted_with_folders_and_fixed_modes() {
        let mut files = Files::new();
        files.insert("share/b".to_owned(), File::text("two"));
        files.insert("bin/a".to_owned(), File::program(b"one".to_vec()));
        let packed = pack("top-1", &files, 77).unwrap();
        assert_eq!(packed, pack("top-1", &files, 77).unwrap());
        // gzip's header: no flags, no time.
        assert_eq!(packed[3..8], [0; 5]);
        let bytes = Compression::Gzip.unpack(&packed).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 77);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            seen.push((path, header.mode().unwrap(), text));
        }
        let expected = [
            ("top-1/", 0o755, ""),
            ("top-1/bin/", 0o755, ""),
            ("top-1/bin/a", 0o755, "one"),
            ("top-1/share/", 0o755, ""),
            ("top-1/share/b", 0o644, "two"),
        ];
        assert_eq!(
            seen,
            expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned()))
        );
    }

    #[test]
    fn the_time_that_is_asked_for() {
        assert_eq!(time(None).unwrap(), 0);
        assert_eq!(time(Some("1700000000")).unwrap(), 1_700_000_000);
        for wrong in ["", "-1", "today", "8589934592"] {
            let error = time(Some(wrong)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("SOURCE_DATE_EPOCH={wrong} ")),
                "{error}"
            );
        }
    }
}
