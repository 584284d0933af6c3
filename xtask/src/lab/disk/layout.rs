//! Which partitions a test disk has beside /usr, and how they follow each other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gpt::partition_types as types;
use serde::Serialize;
use uuid::{Uuid, uuid};

use super::table::{EFI, Table};
use super::{Filesystem, Identity, MIB, Recipe};

/// PARTUUID of Flatcar's first /usr partition.
pub const PARTUUID: Uuid = uuid!("7130c94a-213a-4e5a-8e26-6cce9662f132");
pub const PARTLABEL: &str = "USR-A";
/// The same of its second one.
pub const OTHER_PARTUUID: Uuid = uuid!("e03dd35c-7c2d-4a47-b3fe-27f15780a57c");
const OTHER_PARTLABEL: &str = "USR-B";

/// A set of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Layout {
    /// An EFI system partition, /usr, and a small one behind it.
    Demo,
    /// All that a Flatcar disk has, as large as there; both of /usr hold the same.
    ///
    /// Source: flatcar/scripts, build_library/disk_layout.json.
    Flatcar,
}

/// What goes into a partition.
pub struct Content {
    pub number: u32,
    pub name: &'static str,
    /// Absent for an empty partition.
    pub file: Option<PathBuf>,
    /// The partition's length.
    pub bytes: u64,
    /// The type in a GPT.
    pub kind: Uuid,
    /// The attributes in a GPT.
    pub flags: u64,
}

/// What GRUB reads of a /usr partition on Flatcar: priority 1, no tries left, started successfully.
const SUCCESSFUL: u64 = 1 << 56 | 1 << 48;

impl Content {
    /// A partition that the file fills.
    pub fn new(number: u32, name: &'static str, file: PathBuf) -> Result<Self> {
        Ok(Self {
            number,
            name,
            bytes: fs::metadata(&file)?.len().next_multiple_of(MIB),
            file: Some(file),
            kind: if name == EFI {
                types::EFI.guid
            } else {
                types::LINUX_FS.guid
            },
            flags: 0,
        })
    }
}

impl Layout {
    /// The mkfs options of /usr.
    pub fn usr_options(self) -> &'static [&'static str] {
        match self {
            Self::Demo => &[],
            Self::Flatcar => &["--mixed"],
        }
    }

    /// Bytes between the disk's start and the first partition, and from one partition to the next.
    pub fn gaps(self) -> (u64, u64) {
        match self {
            Self::Demo => (MIB, MIB),
            Self::Flatcar => (2 * MIB, 0),
        }
    }

    /// The partitions in the order of their places, with `usr` on the one for /usr; what they are filled with is made in `folder`.
    pub fn contents(self, recipe: &Recipe, usr: PathBuf, folder: &Path) -> Result<Vec<Content>> {
        let filled = |number, name: &'static str, filesystem: Filesystem, bytes| {
            let file = folder.join(name);
            let identity = Identity {
                uuid: own_uuid(0xF500 + number),
                label: name.to_owned(),
            };
            filesystem.make(None, &file, Some(bytes), &identity, &[])?;
            Content::new(number, name, file)
        };
        match self {
            Self::Demo => Ok(vec![
                filled(1, EFI, Filesystem::Vfat, recipe.esp_bytes)?,
                Content::new(2, PARTLABEL, usr)?,
                filled(3, "OEM", Filesystem::Ext2, 4 * MIB)?,
            ]),
            Self::Flatcar => {
                let sized = |content: Content, bytes, kind: types::Type| Content {
                    bytes,
                    kind: kind.guid,
                    ..content
                };
                let empty = |number, name, bytes, kind: types::Type| Content {
                    number,
                    name,
                    file: None,
                    bytes,
                    kind: kind.guid,
                    flags: 0,
                };
                let usr_a = Content::new(3, PARTLABEL, usr.clone())?;
                let usr_b = Content::new(4, OTHER_PARTLABEL, usr)?;
                let root = filled(9, "ROOT", Filesystem::Ext4, 1784 * MIB)?;
                Ok(vec![
                    filled(1, EFI, Filesystem::Vfat, 1024 * MIB)?,
                    empty(2, "BIOS-BOOT", 2 * MIB, types::BIOS),
                    Content {
                        flags: SUCCESSFUL,
                        ..sized(usr_a, 2048 * MIB, types::COREOS_USR)
                    },
                    sized(usr_b, 2048 * MIB, types::COREOS_USR),
                    filled(6, "OEM", Filesystem::Btrfs, 1024 * MIB)?,
                    empty(7, "OEM-CONFIG", 64 * MIB, types::COREOS_OEM),
                    sized(root, 1784 * MIB, types::COREOS_ROOTFS_RESIZE),
                ])
            }
        }
    }

    /// Numbers of the partitions that a recipe has besides.
    pub fn more(self, table: Table) -> std::ops::RangeFrom<u32> {
        match self {
            Self::Demo => table.more(),
            Self::Flatcar => 10..,
        }
    }
}

impl Content {
    /// The partition's PARTUUID in a GPT, unless it comes from the root hash.
    pub fn uuid(&self) -> Uuid {
        match self.name {
            PARTLABEL => PARTUUID,
            OTHER_PARTLABEL => OTHER_PARTUUID,
            _ => own_uuid(self.number),
        }
    }
}

/// UUIDs of what a test disk has one of.
fn own_uuid(number: u32) -> Uuid {
    Uuid::from_fields(
        0x7130_c94a,
        0,
        0x4000,
        &(0x8000u64 << 48 | u64::from(number)).to_be_bytes(),
    )
}
