//! Disks that a machine has besides the one that a boot is about.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use xtask::lab::disk::Disk;
use xtask::lab::qemu::{Drive, Interface, Slow};
use xtask::lab::tools;

use crate::harness::damaged;
use toehold_samples::tables::{GPT, MBR};
use toehold_samples::target::Random;

/// One more disk.
#[derive(Clone)]
pub struct Other {
    pub content: Content,
    pub interface: Interface,
    /// It comes only when it is plugged in.
    pub unplugged: bool,
    /// What of it cannot be read.
    pub unreadable: fn(&Disk) -> Option<Range<u64>>,
    /// For how many seconds a request lasts that is about [`OF_PARTITIONS`]; 0: no longer than others.
    pub seconds: u32,
}

/// Where partitions lie, and the kernel, which looks at the tables only, reads nothing by itself.
pub const OF_PARTITIONS: Range<u64> = 1 << 20..63 << 20;

/// What is on it.
#[derive(Clone, Copy)]
pub enum Content {
    /// The same as on the disk that the boot is about, identifiers included.
    Twin,
    /// The same, with something done to it.
    Changed(fn(&Disk)),
    /// So many empty partitions with identifiers of their own.
    Partitions(u32),
    /// A partition table, changed in a few places, of which one partition answers to the name of the wanted one. The number says
    /// which changes.
    Hostile(u64),
}

impl Other {
    /// A virtio disk that is there from the start.
    pub fn new(content: Content) -> Self {
        Self {
            content,
            interface: Interface::VirtioBlk,
            unplugged: false,
            unreadable: |_| None,
            seconds: 0,
        }
    }

    /// The drive, with what is on it below `folder`, under this number; `disk` is the one that the boot is about, before
    /// anything was done to it.
    pub fn drive(&self, disk: &Disk, folder: &Path, number: usize) -> Drive {
        let own = folder.join(format!("other-{number}.img"));
        let (file, sector) = match self.content {
            Content::Twin => (disk.path.clone(), disk.sector),
            Content::Changed(damage) => (damaged(disk, damage, &own).path, disk.sector),
            Content::Partitions(count) => (partitions(count, folder), 512),
            Content::Hostile(seed) => {
                fs::write(&own, hostile(seed, &disk.partuuid)).expect("a disk");
                (own, 512)
            }
        };
        Drive {
            sector,
            unplugged: self.unplugged,
            unreadable: (self.unreadable)(disk),
            slow: (self.seconds != 0).then(|| Slow {
                bytes: OF_PARTITIONS,
                seconds: self.seconds,
                socket: folder.join(format!("slow-{number}")),
            }),
            ..Drive::new(file, self.interface)
        }
    }
}

/// A small disk with a GPT or, every third one, an MBR.
fn hostile(seed: u64, partuuid: &str) -> Vec<u8> {
    let mut random = Random(seed);
    let target = if seed.is_multiple_of(3) { MBR } else { GPT };
    let seeds = (target.seeds)();
    let mut disk = seeds[random.below(seeds.len())].clone();
    if target.name == GPT.name {
        // The GUIDs of the second entries, behind their types.
        let guid = Uuid::parse_str(partuuid).expect("a GPT's").to_bytes_le();
        for entries in [2 * 512, disk.len() - 2 * 512] {
            disk[entries + 128 + 16..][..16].copy_from_slice(&guid);
        }
        (target.seal)(&mut disk);
    }
    target.mutate(&mut random, &mut disk);
    disk
}

/// A disk with so many partitions in `folder`, made once.
fn partitions(count: u32, folder: &Path) -> PathBuf {
    let path = folder.join(format!("partitions-{count}.img"));
    if fs::exists(&path).expect("a folder") {
        return path;
    }
    let file = File::create(&path).expect("a disk");
    file.set_len(u64::from(count + 2) << 20).expect("a disk");
    let mut sgdisk = tools::SGDISK.command().expect("sgdisk");
    sgdisk.arg(format!("--resize-table={}", count.next_multiple_of(128)));
    for number in 1..=count {
        sgdisk.arg(format!("--new={number}:0:+1M"));
        sgdisk.arg(format!("--change-name={number}:OTHER-{number}"));
    }
    tools::run(sgdisk.arg(&path)).expect("a table");
    path
}
