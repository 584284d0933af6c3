//! Filesystems made from a folder by the real tools, without root and without mounting anything.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::{BLOCK, MIB};
use crate::tools;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    Btrfs,
    Ext4,
    Squashfs,
    Erofs,
}

impl std::fmt::Display for Filesystem {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str(match self {
            Self::Btrfs => "btrfs",
            Self::Ext4 => "ext4",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
        })
    }
}

impl Filesystem {
    /// Makes the file `image` from what `folder` holds, `bytes` long where the filesystem has a size of its own choosing.
    pub fn make(self, folder: &Path, image: &Path, bytes: Option<u64>) -> Result<()> {
        let sized = matches!(self, Self::Btrfs | Self::Ext4);
        ensure!(
            bytes.is_none_or(|bytes| sized && bytes % BLOCK == 0),
            "a {self} image cannot be made to an exact size that is {bytes:?}; btrfs and ext4 can, to a multiple of {BLOCK}"
        );
        match self {
            Self::Btrfs => {
                // What is smallest for mkfs.btrfs, which then shrinks it to what is used.
                File::create(image)?.set_len(bytes.unwrap_or(needed(folder)? + 256 * MIB))?;
                let mut make = tools::MKFS_BTRFS.command()?;
                make.args(["--quiet", "--metadata", "single", "--data", "single"]);
                if bytes.is_none() {
                    make.arg("--shrink");
                }
                tools::run(make.arg("--rootdir").arg(folder).arg(image))?;
            }
            Self::Ext4 => {
                let bytes = bytes.unwrap_or(needed(folder)?);
                File::create(image)?.set_len(bytes)?;
                let mut make = tools::MKFS_EXT4.command()?;
                make.args(["-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal"]);
                make.args(["-E", "root_owner=0:0,lazy_itable_init=0"]);
                tools::run(make.arg("-d").arg(folder).arg(image))?;
            }
            Self::Squashfs => {
                let mut make = tools::MKSQUASHFS.command()?;
                make.arg(folder).arg(image);
                make.args([
                    "-noappend",
                    "-quiet",
                    "-no-progress",
                    "-all-root",
                    "-comp",
                    "zstd",
                ]);
                tools::run(&mut make)?;
            }
            Self::Erofs => {
                let mut make = tools::MKFS_EROFS.command()?;
                make.args(["--quiet", "--all-root"]);
                tools::run(make.arg(image).arg(folder))?;
            }
        }
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
