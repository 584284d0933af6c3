//! The partition table of a test disk: an EFI system partition, /usr, and one that has nothing to do with the boot.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{self, Type};
use gpt::{GptConfig, GptDisk};
use uuid::{Uuid, uuid};

use super::MIB;

/// PARTUUID of Flatcar's first /usr partition.
pub const PARTUUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";
pub const PARTLABEL: &str = "USR-A";
/// Number of the /usr partition.
pub const USR: u32 = 2;

const SECTOR: u64 = 512;

/// Creates the disk `path` with its table; `/usr` takes `bytes` from `offset` on, both multiples of 1 MiB. The disk's length
/// is a power of two, as QEMU wants it of an SD card.
pub fn write(path: &Path, offset: u64, bytes: u64) -> Result<()> {
    let end = offset + bytes;
    let total = (end + 5 * MIB).next_power_of_two();
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.set_len(total)?;
    let sectors = u32::try_from(total / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;

    let partition = |kind: Type, guid: Uuid, name: &str, from: u64, to: u64| Partition {
        part_type_guid: kind,
        part_guid: guid,
        first_lba: from / SECTOR,
        last_lba: to / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let config = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512);
    let mut table: GptDisk<File> =
        config.create_from_device(file, Some(uuid!("7130c94a-0000-4000-8000-000000000000")))?;
    table.update_partitions(BTreeMap::from([
        (
            1,
            partition(
                partition_types::EFI,
                uuid!("7130c94a-0000-4000-8000-000000000001"),
                "EFI-SYSTEM",
                MIB,
                offset,
            ),
        ),
        (
            USR,
            partition(
                partition_types::LINUX_FS,
                Uuid::parse_str(PARTUUID)?,
                PARTLABEL,
                offset,
                end,
            ),
        ),
        (
            3,
            partition(
                partition_types::LINUX_FS,
                uuid!("7130c94a-0000-4000-8000-000000000003"),
                "OEM",
                end,
                end + 4 * MIB,
            ),
        ),
    ]))?;
    table.write()?.sync_all()?;
    Ok(())
}
