//! The initrd of the floor program: Toehold's, with the program in place of init and plan, and with the verity table.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow};
use toehold::format::verity::Layout;
use toehold::text::Line;

use crate::lab::disk::Disk;
use crate::lab::guest;
use builder::arch::Arch;
use builder::archive::cpio::{self, Entry};
use builder::initrd::Built;
use builder::initrd::manifest::Kind;
use builder::look::contents;

/// The /usr partition in the guest, where the disk is its only one and on virtio.
const DEVICE: &str = "/dev/vda2";

/// Builds the initrd with the same modules as Toehold's, byte for byte, for this disk. The result is not compressed.
pub fn build(toehold: &Built, disk: &Disk) -> Result<Vec<u8>> {
    let program = guest::program(Arch::X86_64, "toehold-floor")?;
    let program =
        fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut entries = vec![
        Entry::file("init", 0o755, program),
        Entry::file("verity", 0o644, verity(disk)?),
    ];
    let archives = contents::archives(&toehold.archive)?;
    let files: HashMap<&str, &Entry> = archives
        .iter()
        .flatten()
        .map(|member| (member.entry.path.as_str(), &member.entry))
        .collect();
    // Folders before what is in them: modules in the pack stand first in the manifest.
    for kind in [Kind::Directory, Kind::Device, Kind::Module] {
        let items = toehold.manifest.entries.iter();
        for item in items.filter(|item| item.kind == kind) {
            let entry = files.get(item.path.as_str()).copied();
            let entry = entry.with_context(|| format!("{} is not in the initrd", item.path))?;
            entries.push(entry.clone());
        }
    }
    cpio::pack(&entries)
}

/// What the program would otherwise have to find out: the device's UUID, its sectors and the target's parameters.
fn verity(disk: &Disk) -> Result<Vec<u8>> {
    let verity = disk
        .verity
        .as_ref()
        .context("the comparison needs a disk with verity")?;
    let mut target = Layout::NONE;
    let offset = disk.partition_offset + verity.hash_offset;
    File::open(&disk.path)
        .and_then(|file| file.read_exact_at(&mut target.superblock, offset))
        .with_context(|| format!("cannot read {}", disk.path.display()))?;
    target
        .parameters
        .read(b"panic-on-corruption")
        .map_err(|option| anyhow!("{option:?} is no option"))?;
    target.root_hash = verity.root_hash.as_bytes();
    target.hash_offset = verity.hash_offset;
    target.measure(verity.hash_offset);
    let (mut uuid, mut table) = (Line::new(), Line::new());
    target.push_uuid(&mut uuid, b"usr");
    let none = [const { Line::new() }; 3];
    target.push_table(&none, &mut table, true);
    // No device was named; the program takes a node.
    let table = String::from_utf8(table.to_vec())?;
    let table = table.replace(" :", &format!(" {DEVICE}"));
    let sectors = target.sectors().to_string();
    Ok([&uuid, sectors.as_bytes(), table.as_bytes()].join(&b'\n'))
}
