//! What `veritysetup format` puts beside a filesystem: superblock, tree and error correction.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::Partition;
use super::{BLOCK, MIB};
use crate::lab::tools;

/// How a filesystem is to be protected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tree {
    /// Salt after (0, Chrome OS) or before (1) the data.
    pub format: u32,
    /// As the kernel's crypto API names it.
    pub algorithm: String,
    /// Bytes.
    pub data_block_size: u64,
    /// Bytes.
    pub hash_block_size: u64,
    /// Hexadecimal, `-` for none; absent for a random one.
    pub salt: Option<String>,
    pub superblock: bool,
    /// UUID in the superblock; absent for a random one.
    pub uuid: Option<String>,
    pub place: Place,
    pub fec: Option<FecRecipe>,
}

/// Where something lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The tree behind the data, the error correction behind the tree.
    Behind,
    /// On a partition of its own.
    Partition,
}

/// Reed-Solomon codes to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct FecRecipe {
    pub place: Place,
    /// Bytes of a code: 2 to 24.
    pub roots: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            format: 1,
            algorithm: "sha256".to_owned(),
            data_block_size: BLOCK,
            hash_block_size: BLOCK,
            salt: None,
            superblock: true,
            uuid: None,
            place: Place::Behind,
            fec: None,
        }
    }
}

/// How a filesystem is protected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verity {
    /// Hexadecimal.
    pub root_hash: String,
    /// Salt after (0) or before (1) the data.
    pub format: u32,
    /// As the kernel's crypto API names it.
    pub algorithm: String,
    /// Bytes.
    pub data_block_size: u64,
    /// Bytes.
    pub hash_block_size: u64,
    /// Blocks of the filesystem.
    pub data_blocks: u64,
    /// Hexadecimal, `-` for none.
    pub salt: String,
    /// Whether there is one before the tree.
    pub superblock: bool,
    /// The superblock's.
    pub uuid: Option<String>,
    /// Where the superblock, or if there is none the tree, begins: a byte offset in the tree's partition.
    pub hash_offset: u64,
    /// The tree's partition, unless it is the data's.
    pub partition: Option<Partition>,
    /// Error correction, if there is any.
    pub fec: Option<Fec>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fec {
    /// Bytes of each code.
    pub roots: u32,
    /// Where the codes begin: a byte offset in their partition.
    pub offset: u64,
    /// Their partition, unless it is the tree's.
    pub partition: Option<Partition>,
}

/// A protected filesystem, and the files that go to partitions of their own.
pub struct Protected {
    pub verity: Verity,
    pub tree: Option<PathBuf>,
    pub fec: Option<PathBuf>,
}

/// Protects the file `data`, whose first `bytes` are a filesystem. Error correction on a partition of its own covers all of the
/// tree's, which has therefore got its length in whole MiB by then.
pub fn protect(tree: &Tree, data: &Path, bytes: u64, folder: &Path) -> Result<Protected> {
    ensure!(
        tree.superblock || bytes.is_multiple_of(tree.hash_block_size),
        "without a superblock the tree begins in a whole block of {} bytes",
        tree.hash_block_size
    );
    let own_tree = (tree.place == Place::Partition).then(|| folder.join("tree.img"));
    let hash = own_tree.as_deref().unwrap_or(data);
    let hash_offset = if own_tree.is_some() { 0 } else { bytes };

    let format = |salt: Option<&str>, uuid: Option<&str>, more: &[String]| -> Result<String> {
        let mut format = tools::VERITYSETUP.command()?;
        format.arg("format").arg(data).arg(hash);
        format.args([
            format!("--hash-offset={hash_offset}"),
            format!("--data-blocks={}", bytes / tree.data_block_size),
            format!("--format={}", tree.format),
            format!("--hash={}", tree.algorithm),
            format!("--data-block-size={}", tree.data_block_size),
            format!("--hash-block-size={}", tree.hash_block_size),
        ]);
        if !tree.superblock {
            format.arg("--no-superblock");
        }
        for (option, value) in [("salt", salt), ("uuid", uuid)] {
            format.args(value.map(|value| format!("--{option}={value}")));
        }
        tools::capture(format.args(more).env("LC_ALL", "C"))
    };
    let said = format(tree.salt.as_deref(), tree.uuid.as_deref(), &[])?;
    let field = |name: &str| {
        said.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
            .with_context(|| format!("veritysetup format printed no `{name}`:\n{said}"))
    };
    let salt = field("Salt:")?;
    let uuid = Some(field("UUID:")?).filter(|uuid| !uuid.is_empty());

    let mut own_fec = None;
    let mut fec = None;
    if let Some(recipe) = tree.fec {
        // The codes cover what lies between the tree and them, or on another device all of the tree's.
        let end = hash.metadata()?.len().next_multiple_of(BLOCK);
        own_fec = (recipe.place == Place::Partition).then(|| folder.join("fec.img"));
        let (file, offset) = match &own_fec {
            Some(file) => {
                resize(hash, end.next_multiple_of(MIB))?;
                (file.as_path(), 0)
            }
            None => (hash, end),
        };
        let more = [
            format!("--fec-device={}", file.display()),
            format!("--fec-offset={offset}"),
            format!("--fec-roots={}", recipe.roots),
        ];
        format(Some(&salt), uuid.as_deref(), &more)?;
        fec = Some(Fec {
            roots: recipe.roots,
            offset,
            partition: None,
        });
    }
    let verity = Verity {
        root_hash: field("Root hash:")?,
        format: tree.format,
        algorithm: tree.algorithm.clone(),
        data_block_size: tree.data_block_size,
        hash_block_size: tree.hash_block_size,
        data_blocks: bytes / tree.data_block_size,
        salt,
        superblock: tree.superblock,
        uuid,
        hash_offset,
        partition: None,
        fec,
    };
    Ok(Protected {
        verity,
        tree: own_tree,
        fec: own_fec,
    })
}

/// Makes a file so many bytes long.
pub fn resize(file: &Path, bytes: u64) -> Result<()> {
    Ok(File::options().write(true).open(file)?.set_len(bytes)?)
}

impl Verity {
    /// Bytes of the verified device.
    pub fn bytes(&self) -> u64 {
        self.data_blocks * self.data_block_size
    }

    /// What `systemd.verity_usr_options=` has to say for the device to be opened, if anything: all parameters where there
    /// is no superblock, and where the error correction lies. `data` is the data partition's PARTUUID.
    pub fn options(&self, data: &str) -> String {
        let mut options = Vec::new();
        if !self.superblock {
            options.push("superblock=no".to_owned());
            options.push(format!("format={}", self.format));
            options.push(format!("data-block-size={}", self.data_block_size));
            options.push(format!("hash-block-size={}", self.hash_block_size));
            options.push(format!("data-blocks={}", self.data_blocks));
            options.push(format!("hash={}", self.algorithm));
            options.push(format!("salt={}", self.salt));
        }
        if let Some(fec) = &self.fec {
            let partition = fec.partition.as_ref().or(self.partition.as_ref());
            let partuuid = partition.map_or(data, |partition| &partition.partuuid);
            options.push(format!("fec-device=PARTUUID={partuuid}"));
            options.push(format!("fec-offset={}", fec.offset));
            options.push(format!("fec-roots={}", fec.roots));
        }
        options.join(",")
    }
}
