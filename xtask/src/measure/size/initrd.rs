//! An initrd by folder, rule and file: its archives tell what takes how much, its manifest why it is there.

use std::{collections::HashMap, ops::Range};

use anyhow::Result;

use super::{Artifact, View, marginal::Measure};
use crate::lab::cache;
use builder::{
    archive::{
        compress::Compression,
        cpio::{Archive, Member},
        pieces::{self, Piece},
        stream::Method,
    },
    initrd::{
        PACK_NAME,
        manifest::{Item, Kind, Manifest},
    },
};

/// Components of a folder's path by which files are counted: `modules/kernel/drivers/scsi`.
const DEPTH: usize = 4;

/// One file of an initrd.
struct File {
    /// As people and limits name it: a module and firmware by where it is from, anything else by its path.
    name: String,
    part: &'static str,
    rule: String,
    /// Where its bytes lie in all archives together.
    range: Range<usize>,
}

/// An initrd, taken apart.
pub struct Initrd<'a> {
    /// As it ships.
    packed: &'a [u8],
    /// All its archives, behind each other.
    bytes: Vec<u8>,
    files: Vec<File>,
    has_manifest: bool,
    /// Of the last piece; none where it is one that the builder cannot make.
    pub compression: Compression,
}

impl<'a> Initrd<'a> {
    /// Takes it apart; without its manifest nothing is known of rules, and modules are taken by their paths.
    pub fn read(initrd: &'a [u8], manifest: Option<&Manifest>) -> Result<Self> {
        let pieces: Vec<Piece> = pieces::read(initrd).collect::<Result<_>>()?;
        let mut files = Vec::new();
        let mut bytes = Vec::new();
        for piece in &pieces {
            for archive in piece.archives()? {
                let in_front = piece.method.is_none() && has_microcode(&archive);
                list(
                    &archive.members,
                    bytes.len(),
                    in_front,
                    manifest,
                    &mut files,
                );
                bytes.extend(archive.bytes);
            }
        }
        let compression = match pieces.last().and_then(|piece| piece.method) {
            Some(Method::Gzip) => Compression::Gzip,
            Some(Method::Xz) => Compression::Xz,
            Some(Method::Zstd) => Compression::Zstd,
            _ => Compression::None,
        };
        Ok(Self {
            packed: initrd,
            bytes,
            files,
            has_manifest: manifest.is_some(),
            compression,
        })
    }

    /// What it takes, by folder, rule and file.
    pub fn measure(&self, name: &str, about: String) -> Result<Artifact> {
        let group = |file: &File| folder(&file.name);
        let mut views = vec![self.by("folder", group, |_| String::new())?];
        if self.has_manifest {
            views.push(self.by("rule", |file| file.rule.clone(), |_| String::new())?);
        }
        views.push(self.by("file", |file| file.name.clone(), group)?);
        Ok(Artifact {
            name: name.to_owned(),
            about,
            raw: self.bytes.len() as u64,
            packed: self.packed.len() as u64,
            content: cache::digest(&self.bytes),
            parts: Vec::new(),
            views,
        })
    }

    fn by(
        &self,
        by: &str,
        name: impl Fn(&File) -> String,
        group: impl Fn(&File) -> String,
    ) -> Result<View> {
        let files = self.files.iter();
        let pieces = files.map(|file| (name(file), group(file), file.range.clone()));
        View::of(
            by,
            pieces,
            &self.bytes,
            self.packed.len() as u64,
            Measure::FAST,
        )
    }

    /// What limits can be about: `userland`, `modules`, `firmware`, `microcode`, or a path below one of them. Its bytes before compression; none
    /// if nothing belongs to it.
    pub fn part(&self, name: &str) -> Option<Vec<u8>> {
        let is_in = |file: &&File| {
            let below = file.name.strip_prefix(name);
            file.part == name || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = self.files.iter().filter(is_in);
        let ranges = found.filter_map(|file| self.bytes.get(file.range.clone()));
        let ranges: Vec<&[u8]> = ranges.collect();
        (!ranges.is_empty()).then(|| ranges.concat())
    }
}

/// The folder that a file is counted to.
fn folder(name: &str) -> String {
    let folder = name.rsplit_once('/').map_or("(top)", |(folder, _)| folder);
    folder.split('/').take(DEPTH).collect::<Vec<_>>().join("/")
}

/// Whether the kernel looks there for microcode before it unpacks anything.
fn has_microcode(archive: &Archive) -> bool {
    let mut members = archive.members.iter();
    members.any(|member| member.entry.path.starts_with("kernel/x86/microcode/"))
}

/// Adds the files of an archive whose bytes begin at `start` of all.
fn list(
    members: &[Member],
    start: usize,
    in_front: bool,
    manifest: Option<&Manifest>,
    files: &mut Vec<File>,
) {
    let items: HashMap<&str, &Item> = manifest
        .iter()
        .flat_map(|manifest| &manifest.entries)
        .map(|item| (item.path.as_str(), item))
        .collect();
    let modules: HashMap<String, &Item> = items
        .values()
        .filter_map(|item| Some((kernel_name(item.module()?), *item)))
        .collect();
    for Member { entry, place, .. } in members {
        let path = &entry.path;
        let item = items.get(path.as_str()).copied().filter(|_| !in_front);
        let mut place = start + place.start..start + place.end;
        let rule = |item: &Item| {
            let chosen = item
                .needed_by
                .last()
                .and_then(|name| modules.get(&kernel_name(name)));
            chosen.copied().unwrap_or(item).why.clone()
        };
        if path == PACK_NAME {
            // Its modules, each with its share of what they are packed to, and at the end what is known of all of them.
            for item in manifest.iter().flat_map(|manifest| &manifest.entries) {
                if let (Some(bytes), Some(source)) = (item.packed_bytes, &item.source) {
                    let end = place.start + bytes;
                    files.push(File {
                        name: format!("modules/{source}"),
                        part: "modules",
                        rule: rule(item),
                        range: place.start..end,
                    });
                    place.start = end;
                }
            }
        }
        let (part, below) = match item.map(|item| (item.kind, item.source.as_deref())) {
            _ if in_front => ("microcode", path.as_str()),
            Some((Kind::Module, Some(source))) => ("modules", source),
            Some((Kind::Pack, _)) => ("modules", path.as_str()),
            Some((Kind::Firmware, _)) => ("firmware", path.trim_start_matches("lib/firmware/")),
            Some(_) => ("userland", path.as_str()),
            // As most initrds have it.
            None => by_path(path),
        };
        let name = match part {
            "userland" => path.clone(),
            part => format!("{part}/{below}"),
        };
        files.push(File {
            name,
            part,
            rule: item.map_or_else(|| part.to_owned(), rule),
            range: place,
        });
    }
}

/// A module's name as the kernel has it.
fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The part that a path belongs to, and the rest of the path within it.
fn by_path(path: &str) -> (&'static str, &str) {
    let path = path.trim_start_matches("./");
    let inside = path.strip_prefix("usr/").unwrap_or(path);
    let module = inside
        .strip_prefix("lib/modules/")
        .and_then(|rest| rest.split_once('/'));
    match (module, inside.strip_prefix("lib/firmware/")) {
        _ if path == PACK_NAME => ("modules", path),
        (Some((_, below)), _) if below.contains(".ko") => ("modules", below),
        (_, Some(below)) => ("firmware", below),
        _ => ("userland", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_path() {
        for (path, want) in [
            (
                "lib/modules/6.1.0/kernel/fs/a.ko.xz",
                ("modules", "kernel/fs/a.ko.xz"),
            ),
            (
                "./usr/lib/modules/6.1.0/kernel/a.ko",
                ("modules", "kernel/a.ko"),
            ),
            (
                "lib/modules/6.1.0/modules.dep",
                ("userland", "lib/modules/6.1.0/modules.dep"),
            ),
            ("usr/lib/firmware/a/b.bin", ("firmware", "a/b.bin")),
            ("bin/sh", ("userland", "bin/sh")),
            ("toehold.pack", ("modules", "toehold.pack")),
        ] {
            assert_eq!(by_path(path), want, "{path}");
        }
        assert_eq!(
            folder("modules/kernel/drivers/net/ethernet/a.ko"),
            "modules/kernel/drivers/net"
        );
        assert_eq!(folder("init"), "(top)");
    }
}
