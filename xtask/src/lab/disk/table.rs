//! Partition tables of test disks.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeFrom;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition as Entry;
use gpt::partition_types::{self, OperatingSystem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use super::MIB;
use crate::lab::tools;

/// The MBR's disk signature.
const SIGNATURE: &str = "7130c94a";
/// The GPT's GUID.
const DISK: Uuid = uuid!("7130c94a-0000-4000-8000-000000000000");
/// Number of an MBR's extended partition; the logical ones in it are counted from the next one on.
const EXTENDED: u32 = 4;
/// Name of the EFI system partition.
pub const EFI: &str = "EFI-SYSTEM";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    Gpt,
    /// Partitions from the fifth on are logical ones.
    Mbr,
}

/// A partition of a test disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    /// As in the name of its node, `/dev/vda2`.
    pub number: u32,
    /// As udev and blkid write it.
    pub partuuid: String,
    /// Empty in an MBR.
    pub partlabel: String,
    /// Where it begins on the disk, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its type in a GPT.
    #[schemars(with = "String")]
    pub kind: Uuid,
    /// Its attributes in a GPT.
    pub flags: u64,
}

impl Table {
    /// Numbers of the partitions behind the third: an MBR's fourth is the one that holds them.
    pub fn more(self) -> RangeFrom<u32> {
        match self {
            Self::Gpt => 4..,
            Self::Mbr => EXTENDED + 1..,
        }
    }

    /// Creates the disk `path` with these partitions. They are in the order of their places and begin and end at multiples of
    /// 1 MiB, in an MBR with 1 MiB to spare before each. The disk's length is a power of two, as QEMU wants it of an SD card.
    pub fn write(self, path: &Path, sector: u64, partitions: &[Partition]) -> Result<()> {
        let end = partitions
            .last()
            .map_or(MIB, |last| last.offset + last.bytes);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        let total = (end + MIB).next_power_of_two();
        file.set_len(total)?;
        let mut numbered = partitions.iter().zip(1..);
        match self {
            // The crate leaves out no number.
            Self::Gpt if numbered.any(|(partition, number)| partition.number != number) => {
                ensure!(
                    sector == 512,
                    "partitions with gaps between their numbers are made with sectors of 512 bytes"
                );
                gpt_with_gaps(path, partitions)
            }
            Self::Gpt => {
                let sectors = u32::try_from(total / sector - 1).unwrap_or(u32::MAX);
                ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;
                gpt(file, sector, partitions)
            }
            Self::Mbr => {
                ensure!(sector == 512, "the MBR is made with sectors of 512 bytes");
                mbr(path, partitions)
            }
        }
    }
}

/// What identifies a partition in our MBR.
pub fn mbr_partuuid(number: u32) -> String {
    format!("{SIGNATURE}-{number:02x}")
}

fn gpt(file: File, sector: u64, partitions: &[Partition]) -> Result<()> {
    let size = LogicalBlockSize::try_from(sector)?;
    let config = GptConfig::new().writable(true).logical_block_size(size);
    let mut table = config.create_from_device(file, Some(DISK))?;
    let mut entries = BTreeMap::new();
    for partition in partitions {
        let entry = Entry {
            part_type_guid: partition_types::Type {
                guid: partition.kind,
                os: OperatingSystem::None,
            },
            part_guid: Uuid::parse_str(&partition.partuuid)?,
            first_lba: partition.offset / sector,
            last_lba: (partition.offset + partition.bytes) / sector - 1,
            flags: partition.flags,
            name: partition.partlabel.clone(),
        };
        entries.insert(partition.number, entry);
    }
    table.update_partitions(entries)?;
    table.write()?.sync_all()?;
    Ok(())
}

fn gpt_with_gaps(path: &Path, partitions: &[Partition]) -> Result<()> {
    let mut script = format!("label: gpt\nlabel-id: {DISK}\nunit: sectors\n");
    for partition in partitions {
        let (start, size) = (partition.offset / 512, partition.bytes / 512);
        let flags = (48..64).filter(|bit| partition.flags >> bit & 1 == 1);
        let flags: String = flags.map(|bit| format!("GUID:{bit} ")).collect();
        script += &format!(
            "{} : start={start}, size={size}, type={}, uuid={}, name=\"{}\", attrs=\"{}\"\n",
            partition.number,
            partition.kind,
            partition.partuuid,
            partition.partlabel,
            flags.trim_end()
        );
    }
    sfdisk(path, &script)
}

fn mbr(path: &Path, partitions: &[Partition]) -> Result<()> {
    let mut script = format!("label: dos\nlabel-id: 0x{SIGNATURE}\nunit: sectors\n");
    let mut line = |number: u32, offset: u64, bytes: u64, kind: &str| {
        let (start, size) = (offset / 512, bytes / 512);
        script += &format!("{number} : start={start}, size={size}, type={kind}\n");
    };
    // The logical ones are the last.
    let first = partitions.iter().find(|one| one.number > EXTENDED);
    if let (Some(first), Some(last)) = (first, partitions.last()) {
        let offset = first.offset - MIB;
        line(EXTENDED, offset, last.offset + last.bytes - offset, "5");
    }
    for partition in partitions {
        line(partition.number, partition.offset, partition.bytes, "83");
    }
    sfdisk(path, &script)
}

fn sfdisk(path: &Path, script: &str) -> Result<()> {
    let mut sfdisk = tools::SFDISK.command()?;
    tools::feed(sfdisk.args(["--quiet", "--no-reread"]).arg(path), script)
}
