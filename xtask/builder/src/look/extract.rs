//! The files of an initrd as they lie in the kernel's memory once all of it is unpacked, and on a
//! disk.
//!
//! Source: init/initramfs.c. What comes later replaces what is there, except that a file keeps its
//! other names, and a directory what is in it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{ErrorKind, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, fchown, lchown, symlink},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    io::Errno,
};

use super::contents::{archives, shown};
use crate::archive::cpio::{
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, Entry, FILE, KIND, Member, SYMLINK,
};

const FIFO: u32 = 0o010000;
const SOCKET: u32 = 0o140000;

/// Links that are followed on one path at most, as in path_resolution(7).
const LINKS: usize = 40;

/// The files of an initrd.
#[derive(Debug, Default)]
pub struct Tree {
    /// The number of each path's file; a directory's stands before those of what is in it.
    names: BTreeMap<String, usize>,
    files: Vec<Node>,
    /// Entries that are not here, each with the reason.
    pub refused: Vec<String>,
}

/// A file, whatever its kind.
#[derive(Debug)]
struct Node {
    entry: Entry,
    owner: (u32, u32),
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    pub count: usize,
    /// Devices that were not made.
    pub skipped: Vec<String>,
}

impl Tree {
    /// Unpacks an initrd, the modules in its pack too.
    pub fn of(initrd: &[u8]) -> Result<Self> {
        let mut tree = Self::default();
        for members in archives(initrd)? {
            tree.add(members);
        }
        Ok(tree)
    }

    /// Unpacks an archive.
    fn add(&mut self, members: Vec<Member>) {
        // By the entry's number in the archive.
        let mut numbers: Vec<Option<usize>> = Vec::new();
        for Member {
            entry, owner, link, ..
        } in members
        {
            // The root stays as it is.
            if parts(&entry.path).is_empty() {
                numbers.push(None);
                continue;
            }
            let path = shown(&entry.path);
            let first = link.and_then(|first| *numbers.get(first)?);
            let result = self.put(Node { entry, owner }, first);
            numbers.push(result.as_ref().ok().copied());
            if let Err(why) = result {
                self.refused.push(format!("{path}: {why:#}"));
            }
        }
    }

    /// Puts one file into the tree, or another name of the one with the number `first`. Returns its
    /// number.
    fn put(&mut self, node: Node, first: Option<usize>) -> Result<usize> {
        let path = self.resolve(&node.entry.path)?;
        let kind = node.entry.mode & KIND;
        match kind {
            FILE | DIRECTORY | CHARACTER_DEVICE | BLOCK_DEVICE | FIFO | SOCKET => {}
            SYMLINK => self.check_target(&path, node.entry.target())?,
            _ => bail!("there is no such kind of file ({:o})", node.entry.mode),
        }
        let there = self.names.get(&path).copied();
        let there = there.filter(|there| self.kind(*there) == kind);
        if there.is_none() {
            let inside = format!("{path}/");
            let mut behind = self.names.range(inside.clone()..);
            let is_empty = behind
                .next()
                .is_none_or(|(name, _)| !name.starts_with(&inside));
            ensure!(is_empty, "there is a directory with files in it");
        }
        let number = match (first, there) {
            (Some(first), _) => first,
            (None, Some(there)) if kind != SYMLINK => {
                self.files[there] = node;
                there
            }
            _ => {
                self.files.push(node);
                self.files.len() - 1
            }
        };
        self.names.insert(path, number);
        Ok(number)
    }

    fn kind(&self, number: usize) -> u32 {
        self.files[number].entry.mode & KIND
    }

    /// Where an entry's path leads: links to directories are followed, and directories that there
    /// are not yet are made.
    fn resolve(&mut self, path: &str) -> Result<String> {
        let parts = |path: &str| parts(path).into_iter().rev().map(str::to_owned).collect();
        let mut todo: Vec<String> = parts(path);
        ensure!(
            !todo.iter().any(|name| name == ".."),
            "its path has `..` in it, which may lead out of the initrd"
        );
        let (mut at, mut followed) = (String::new(), 0);
        while let Some(name) = todo.pop() {
            if name == ".." {
                at = parent(&at).context("a link on its path leads out of the initrd")?;
                continue;
            }
            let next = join(&at, &name);
            if todo.is_empty() {
                return Ok(next);
            }
            let Some(number) = self.names.get(&next).copied() else {
                let entry = Entry::directory(&next);
                self.files.push(Node {
                    entry,
                    owner: (0, 0),
                });
                self.names.insert(next.clone(), self.files.len() - 1);
                at = next;
                continue;
            };
            match self.kind(number) {
                DIRECTORY => at = next,
                SYMLINK => {
                    followed += 1;
                    ensure!(followed <= LINKS, "too many links on its path");
                    let target = self.files[number].entry.target();
                    let target = String::from_utf8_lossy(target).into_owned();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    todo.extend(parts(&target));
                }
                _ => bail!("{} is no directory", shown(&next)),
            }
        }
        bail!("its path leads to the root")
    }

    /// Refuses a link that leads out of the initrd. A target with a slash in front begins at the
    /// initrd's root.
    fn check_target(&self, path: &str, target: &[u8]) -> Result<()> {
        ensure!(!target.is_empty(), "it is a link to nothing");
        let target = String::from_utf8_lossy(target);
        let mut depth = match target.starts_with('/') {
            true => 0,
            false => path.matches('/').count(),
        };
        for part in parts(&target) {
            let next = match part {
                ".." => depth.checked_sub(1),
                _ => Some(depth + 1),
            };
            depth = next.with_context(|| {
                format!(
                    "it is a link that leads out of the initrd, to {}",
                    shown(&target)
                )
            })?;
        }
        Ok(())
    }

    /// Writes everything into a folder; what is there is replaced. Owners and devices need root.
    pub fn write(&self, folder: &Path, is_root: bool) -> Result<Written> {
        let mut written = Written::default();
        let mut first: Vec<Option<PathBuf>> = vec![None; self.files.len()];
        let mut directories = Vec::new();
        for (path, number) in &self.names {
            let (to, node) = (folder.join(path), &self.files[*number]);
            let write = || -> Result<bool> {
                let has_directory = make_room(&to)?;
                match &first[*number] {
                    // Not every filesystem has hard links.
                    Some(first) if fs::hard_link(first, &to).is_ok() => Ok(true),
                    _ if has_directory && self.kind(*number) == DIRECTORY => Ok(true),
                    _ => node.make(&to, is_root),
                }
            };
            let is_made = write().with_context(|| format!("cannot write {}", to.display()))?;
            if !is_made {
                written.skipped.push(shown(path));
                continue;
            }
            written.count += 1;
            if self.kind(*number) == DIRECTORY {
                directories.push((to, node));
            } else {
                first[*number].get_or_insert(to);
            }
        }
        // Some cannot be written to any more then.
        for (to, node) in directories.iter().rev() {
            node.finish(to, is_root)
                .with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(written)
    }
}

impl Node {
    /// Makes the file, where there is none. False: only root can.
    fn make(&self, to: &Path, is_root: bool) -> Result<bool> {
        let entry = &self.entry;
        match entry.mode & KIND {
            DIRECTORY => fs::create_dir(to)?,
            SYMLINK => {
                symlink(OsStr::from_bytes(entry.target()), to)?;
                if is_root {
                    lchown(to, Some(self.owner.0), Some(self.owner.1))?;
                }
            }
            FILE => {
                let mut file = File::create_new(to)?;
                file.write_all(&entry.data)?;
                if is_root {
                    fchown(&file, Some(self.owner.0), Some(self.owner.1))?;
                }
                file.set_permissions(self.permissions())?;
            }
            kind => {
                if !is_root && matches!(kind, CHARACTER_DEVICE | BLOCK_DEVICE) {
                    return Ok(false);
                }
                let (kind, mode) = (FileType::from_raw_mode(kind), Mode::from_raw_mode(0o600));
                match mknodat(CWD, to, kind, mode, makedev(entry.device.0, entry.device.1)) {
                    // Root of a container is not root enough.
                    Err(Errno::PERM) => return Ok(false),
                    result => result?,
                }
                self.finish(to, is_root)?;
            }
        }
        Ok(true)
    }

    /// Gives a directory or a device its owner and permissions.
    fn finish(&self, to: &Path, is_root: bool) -> Result<()> {
        if is_root {
            lchown(to, Some(self.owner.0), Some(self.owner.1))?;
        }
        Ok(fs::set_permissions(to, self.permissions())?)
    }

    fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.entry.mode & 0o7777)
    }
}

/// Removes what is at a path that is to be written, unless it is a directory. Returns whether it is
/// one.
fn make_room(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Ok(true),
        Ok(_) => Ok(fs::remove_file(path).map(|()| false)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The names that a path consists of.
fn parts(path: &str) -> Vec<&str> {
    let parts = path.split('/');
    parts.filter(|part| !matches!(*part, "" | ".")).collect()
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The folder that a folder lies in; none for the root.
fn parent(folder: &str) -> Option<String> {
    match folder.rsplit_once('/') {
        Some((parent, _)) => Some(parent.to_owned()),
        None => (!folder.is_empty()).then(String::new),
    }
}

#[cfg(test)]
mod tests;
