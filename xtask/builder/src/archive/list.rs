//! An initrd as a list of its files, for the kernel's own `gen_init_cpio` and `CONFIG_INITRAMFS_SOURCE`.
//!
//! Source: usr/gen_init_cpio.c and Documentation/filesystems/ramfs-rootfs-initramfs.rst.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::cpio::{self, CHARACTER_DEVICE, DIRECTORY, Entry, KIND, SYMLINK};

/// Where the files lie that a list names: beside it.
pub fn folder(list: &Path) -> PathBuf {
    list.with_added_extension("files")
}

/// Writes the list, and the files that it names, which are not all as they lie in the kernel's package.
pub fn write(list: &Path, entries: &[&Entry]) -> Result<()> {
    let folder = folder(list);
    let result = std::path::absolute(&folder).map_err(Into::into);
    let text = result.and_then(|folder| text(entries, &folder))?;
    let _ = fs::remove_dir_all(&folder);
    for entry in entries.iter().filter(|entry| is_file(entry)) {
        let path = folder.join(&entry.path);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, &entry.data))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    fs::write(list, text).with_context(|| format!("cannot write {}", list.display()))
}

fn is_file(entry: &Entry) -> bool {
    entry.mode & KIND == cpio::FILE
}

/// The list, with the files in `folder`. Owned by root; equal files are one line with several names.
fn text(entries: &[&Entry], folder: &Path) -> Result<String> {
    let links = cpio::links(entries);
    let mut text = String::new();
    for (place, entry) in entries.iter().enumerate() {
        let (path, mode) = (format!("/{}", entry.path), entry.mode & 0o7777);
        let line = match entry.mode & KIND {
            DIRECTORY => format!("dir {path} {mode:04o} 0 0"),
            SYMLINK => {
                let target = String::from_utf8_lossy(&entry.data);
                format!("slink {path} {target} {mode:04o} 0 0")
            }
            CHARACTER_DEVICE => {
                let (major, minor) = entry.device;
                format!("nod {path} {mode:04o} 0 0 c {major} {minor}")
            }
            _ if links[place] != place => continue,
            _ => {
                let file = folder.join(&entry.path).display().to_string();
                let mut line = format!("file {path} {file} {mode:04o} 0 0");
                for (other, _) in links
                    .iter()
                    .enumerate()
                    .filter(|(other, first)| **first == place && *other != place)
                {
                    let _ = write!(line, " /{}", entries[other].path);
                }
                ensure!(
                    !file.contains(char::is_whitespace),
                    "{file}: a list has no way to write white space in a path; another folder for -o has none"
                );
                line
            }
        };
        ensure!(
            !path.contains(char::is_whitespace),
            "{path}: a list has no way to write white space in a path"
        );
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_lines() {
        let file = |path: &str| Entry::file(path, 0o644, b"same".to_vec());
        let entries = [
            Entry::file("init", 0o755, b"\x7fELF".to_vec()),
            Entry::directory("dev"),
            Entry::character_device("dev/console", 0o600, (5, 1)),
            file("a"),
            Entry::symlink("sbin/modprobe", "/init"),
            file("b"),
        ];
        let all: Vec<&Entry> = entries.iter().collect();
        let room = tempfile::tempdir().unwrap();
        let list = room.path().join("list");
        write(&list, &all).unwrap();
        let files = folder(&list);
        let want = format!(
            "file /init {0}/init 0755 0 0\ndir /dev 0755 0 0\nnod /dev/console 0600 0 0 c 5 1\nfile /a {0}/a 0644 0 0 /b\n\
            slink /sbin/modprobe /init 0777 0 0\n",
            files.display()
        );
        assert_eq!(fs::read_to_string(&list).unwrap(), want);
        assert_eq!(fs::read(files.join("init")).unwrap(), b"\x7fELF");
        assert_eq!(fs::read(files.join("b")).unwrap(), b"same");

        let spaced = Entry::file("a b", 0o644, Vec::new());
        for (entries, list) in [(vec![&spaced], list), (all, room.path().join("a list"))] {
            let error = write(&list, &entries).unwrap_err().to_string();
            assert!(error.contains("white space"), "{error}");
        }
    }
}
