//! Filesystems made from a folder by the real tools, without root and without mounting anything.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use walkdir::WalkDir;

use super::{BLOCK, MIB};
use crate::lab::tools;

#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    Btrfs,
    Ext2,
    Ext3,
    Ext4,
    Squashfs,
    Erofs,
    Vfat,
    Xfs,
}

/// What a filesystem can be found by, if it is of a kind that has such things.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Identity {
    pub uuid: Uuid,
    /// 11 bytes at most, so that it fits everywhere.
    pub label: String,
}

impl std::fmt::Display for Filesystem {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str(match self {
            Self::Btrfs => "btrfs",
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Vfat => "vfat",
            Self::Xfs => "xfs",
        })
    }
}

impl Filesystem {
    /// Whether it has a UUID as it is made here. (vfat has a serial number, 32 bits of it.)
    pub fn has_uuid(self) -> bool {
        !matches!(self, Self::Squashfs | Self::Vfat)
    }

    /// Whether it has a label as it is made here. (erofs has room for one; mkfs.erofs can set it only since 1.6.)
    pub fn has_label(self) -> bool {
        !matches!(self, Self::Squashfs | Self::Erofs)
    }

    /// Makes the file `image` from what `folder` holds, or empty, `bytes` long where the filesystem has a size of its own
    /// choosing. `options` are more of mkfs's.
    pub fn make(
        self,
        folder: Option<&Path>,
        image: &Path,
        bytes: Option<u64>,
        identity: &Identity,
        options: &[&str],
    ) -> Result<()> {
        let sized = !matches!(self, Self::Squashfs | Self::Erofs);
        ensure!(
            bytes.is_none_or(|bytes| sized && bytes % BLOCK == 0),
            "a {self} image cannot be made to an exact size that is {bytes:?}; all but squashfs and erofs can, to a \
             multiple of {BLOCK}"
        );
        if sized {
            let least = match self {
                // mkfs.btrfs makes it as small as it can be in the end.
                Self::Btrfs => 256 * MIB,
                // What mkfs.xfs insists on.
                Self::Xfs => 300 * MIB,
                _ => 0,
            };
            let bytes = match (bytes, folder) {
                (Some(bytes), _) => bytes,
                (None, Some(folder)) => least + needed(folder)?,
                (None, None) => bail!("an empty {self} needs a size"),
            };
            File::create(image)?.set_len(bytes)?;
        }
        let Identity { uuid, label } = identity;
        let uuid = uuid.to_string();
        let mut make = match self {
            Self::Btrfs => {
                let mut make = tools::MKFS_BTRFS.command()?;
                make.args(["--quiet", "--metadata", "single", "--data", "single"]);
                make.args(["--uuid", &uuid, "--label", label]);
                if bytes.is_none() {
                    make.arg("--shrink");
                }
                if let Some(folder) = folder {
                    make.arg("--rootdir").arg(folder);
                }
                make.arg(image);
                make
            }
            Self::Ext2 | Self::Ext3 | Self::Ext4 => {
                let mut make = tools::MKFS_EXT4.command()?;
                make.args(["-q", "-F", "-b", "4096", "-m", "0", "-t", &self.to_string()]);
                if self == Self::Ext4 {
                    make.args(["-O", "^has_journal"]);
                }
                make.args(["-E", "root_owner=0:0,lazy_itable_init=0"]);
                make.args(["-U", &uuid, "-L", label]);
                if let Some(folder) = folder {
                    make.arg("-d").arg(folder);
                }
                make.arg(image);
                make
            }
            Self::Squashfs => {
                let mut make = tools::MKSQUASHFS.command()?;
                make.args(folder).arg(image);
                make.args(["-noappend", "-quiet", "-no-progress", "-all-root"]);
                make.args(["-comp", "zstd"]);
                make
            }
            Self::Erofs => {
                let mut make = tools::MKFS_EROFS.command()?;
                make.args(["--quiet", "--all-root", &format!("-U{uuid}")]);
                make.arg(image).args(folder);
                make
            }
            Self::Vfat => {
                ensure!(folder.is_none(), "mkfs.vfat makes empty filesystems only");
                let mut make = tools::MKFS_VFAT.command()?;
                let serial = uuid.split('-').next().unwrap_or_default();
                make.args(["-i", serial, "-n", &label.to_uppercase()]);
                make.arg(image);
                make
            }
            Self::Xfs => {
                let mut make = tools::MKFS_XFS.command()?;
                make.args(["-q", "-f", "-L", label]);
                make.args(["-m", &format!("uuid={uuid}")]);
                // A verity device's sectors are as large as its blocks, and the filesystem's must not be smaller.
                make.args(["-s", &format!("size={BLOCK}")]);
                if let Some(folder) = folder {
                    let description = image.with_extension("proto");
                    fs::write(
                        &description,
                        format!("-\n0 0\nd--755 0 0\n{}", listing(folder)?),
                    )?;
                    make.arg("-p").arg(description);
                }
                make.arg(image);
                make
            }
        };
        tools::run(make.args(options))?;
        fs::metadata(image).with_context(|| format!("{self}: no image was made"))?;
        Ok(())
    }
}

/// Bytes that a filesystem for this folder may take: its blocks, and a quarter and some more for structures.
fn needed(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in WalkDir::new(folder) {
        bytes += entry?.metadata()?.len().next_multiple_of(BLOCK) + BLOCK;
    }
    Ok((bytes + bytes / 4 + 16 * MIB).next_multiple_of(MIB))
}

/// What a folder holds, as mkfs.xfs takes it: a line for each file and folder, and `$` where a folder ends.
fn listing(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let entry = entry?;
        let (name, path) = (entry.file_name().display(), entry.path());
        text += &match entry.file_type() {
            kind if kind.is_dir() => format!("{name} d--755 0 0\n{}", listing(path)?),
            kind if kind.is_file() => format!("{name} ---755 0 0 {}\n", path.display()),
            _ => bail!("{} is neither a file nor a folder", path.display()),
        };
    }
    Ok(text + "$\n")
}
