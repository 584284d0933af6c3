//! The module pack by the size of its groups, and a squashfs of the same modules, which is dracut's way to have them unpacked on
//! demand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Ground, Modules, Times, time};
use crate::lab::tools;
use crate::measure::size::measure::packed;
use crate::measure::size::table::{Style, grouped, table};
use builder::archive::compress::Compression;
use builder::archive::cpio::Entry;
use builder::initrd::Contents;
use builder::initrd::manifest::Kind;
use builder::look::contents;
use builder::select::groups::BYTES;

const KIB: u64 = 1 << 10;
/// What a group takes at most, in KiB; the last is no limit but for what is waited for, and for what another bus asks for.
const SIZES: [Option<u64>; 8] = [
    Some(512),
    Some(1024),
    Some(2048),
    Some(3072),
    Some(4096),
    Some(5120),
    Some(8192),
    None,
];
/// Options of mksquashfs: what is best of each compressor.
const SQUASHFS: [(&str, &[&str]); 2] = [
    ("zstd", &["-comp", "zstd", "-Xcompression-level", "22"]),
    ("xz", &["-comp", "xz", "-Xdict-size", "100%"]),
];

/// One way to have modules unpacked on demand.
#[derive(Serialize, JsonSchema)]
pub struct Row {
    /// What a group takes at most.
    name: String,
    /// Of the whole initrd.
    bytes: usize,
    /// How many there are.
    groups: Option<usize>,
    /// What it takes to unpack the largest group.
    largest: Option<usize>,
    /// Of a boot.
    times: Option<Times>,
}

pub fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for size in SIZES {
        let modules = Modules {
            group_bytes: Some(size.map_or(u64::MAX, |kib| kib * KIB)),
            ..Modules::default()
        };
        let archive = ship(ground.contents(modules)?)?;
        let (contents, read) = contents::Contents::read(0, &archive);
        read?;
        let groups = contents.pack.context("an initrd with a pack")?.groups;
        rows.push(Row {
            name: name(size),
            bytes: archive.len(),
            groups: Some(groups.len()),
            largest: groups.iter().map(|group| group.unpacked_bytes).max(),
            times: ground.boot(&archive)?,
        });
    }
    for (name, options) in SQUASHFS {
        let mut contents = ground.contents(Modules::default())?;
        let image = squashfs(ground, options)?;
        contents.pack = Some(Entry::file("modules.squashfs", 0o644, image));
        rows.push(Row {
            name: format!("squashfs, {name}, blocks of 1 MiB"),
            bytes: ship(contents)?.len(),
            groups: None,
            largest: None,
            times: None,
        });
    }
    Ok(rows)
}

fn name(size: Option<u64>) -> String {
    let text = match size {
        None => return "no limit".to_owned(),
        Some(kib) if kib % 1024 == 0 => format!("{} MiB", kib / 1024),
        Some(kib) => format!("{kib} KiB"),
    };
    match size {
        Some(kib) if kib * KIB == BYTES => format!("{text} (usual)"),
        _ => text,
    }
}

fn ship(contents: Contents) -> Result<Vec<u8>> {
    let built = contents.pack(|archive| packed(Compression::Zstd, archive))?;
    Ok(built.archive)
}

/// A squashfs of the modules of an initrd.
fn squashfs(ground: &Ground, options: &[&str]) -> Result<Vec<u8>> {
    let plain = Modules {
        compress: Some(Compression::None),
        ..Modules::default()
    };
    let room = tempfile::tempdir()?;
    let (folder, image) = (room.path().join("modules"), room.path().join("image"));
    for (entry, item) in ground.contents(plain)?.entries {
        if item.kind == Kind::Module {
            let source = item.source.context("a module from nowhere")?;
            write(&folder.join(source), &entry.data)?;
        }
    }
    let mut make = tools::MKSQUASHFS.command()?;
    make.arg(&folder).arg(&image).args(["-b", "1M"]);
    make.args(["-noappend", "-quiet", "-no-progress", "-all-root"]);
    tools::run(make.args(["-all-time", "0"]).args(options))?;
    Ok(fs::read(image)?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a module without a folder")?)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

pub fn text(rows: &[Row]) -> String {
    let row = |row: &Row| {
        vec![
            row.name.clone(),
            row.groups.map_or(String::new(), grouped),
            grouped(row.bytes),
            time(row.times, |times| times.stage2_us),
            row.largest.map_or(String::new(), grouped),
        ]
    };
    let head = [
        "groups of the module pack",
        "groups",
        "initrd, bytes",
        "entry to stage 2, ms",
        "largest group unpacks to",
    ];
    let rows: Vec<_> = rows.iter().map(row).collect();
    table(Style::Markdown, &head, &rows)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names() {
        assert_eq!(name(Some(512)), "512 KiB");
        assert_eq!(name(Some(8192)), "8 MiB");
        assert_eq!(name(None), "no limit");
    }
}
