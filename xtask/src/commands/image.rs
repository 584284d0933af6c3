//! `cargo xtask image`: a test disk with a verity-protected /usr.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use uuid::Uuid;

use super::print;
use crate::Verdict;
use crate::lab::disk::{
    self, Disk, FecRecipe, Filesystem, Identity, Layout, Place, Recipe, Table, Tree,
};
use crate::lab::tools;
use builder::arch::Arch;

#[derive(clap::Args)]
pub struct Args {
    /// The disk to write, a sparse file; DISK.json gets what is printed
    #[arg(short, long, value_name = "DISK")]
    output: PathBuf,
    /// Architecture of the programs in stage 2
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Filesystem of /usr
    #[arg(long, value_enum, default_value = "btrfs")]
    usr: Filesystem,
    /// Filesystem of the stage-2 image
    #[arg(long, value_enum, default_value = "squashfs")]
    stage2: Filesystem,
    /// Make the filesystem the root itself, without a stage-2 image
    #[arg(long)]
    root: bool,
    /// Where the stage-2 image lies, relative to /usr
    #[arg(long, value_name = "PATH", default_value = "lib/toehold/stage2.img")]
    image_path: String,
    /// Exact size of the /usr filesystem (btrfs, ext4); the verity superblock follows it
    #[arg(long, value_name = "BYTES")]
    usr_bytes: Option<u64>,
    /// UUID of the /usr filesystem [default: always the same]
    #[arg(long)]
    uuid: Option<Uuid>,
    /// LABEL of the /usr filesystem, 11 bytes at most
    #[arg(long, default_value = "toehold-usr")]
    label: String,
    /// Partition table
    #[arg(long, value_enum, default_value = "gpt")]
    table: Table,
    /// Bytes of a logical sector
    #[arg(long, value_name = "512|4096", default_value = "512", value_parser = PossibleValuesParser::new(["512", "4096"]).map(|text| text.parse::<u64>().unwrap_or(512)))]
    sector: u64,
    /// MiB of the EFI system partition
    #[arg(long, value_name = "MIB", default_value_t = 6)]
    esp_size: u64,
    /// PARTUUIDs of /usr and of its tree are the first and the last 128 bits of the root hash
    #[arg(long)]
    partuuids_from_root_hash: bool,
    #[command(flatten)]
    verity: VerityArgs,
}

/// How verity protects /usr; the names are those of `veritysetup format`.
#[derive(clap::Args)]
struct VerityArgs {
    /// Leave /usr unprotected
    #[arg(long)]
    no_verity: bool,
    /// Write no superblock before the tree
    #[arg(long)]
    no_superblock: bool,
    /// UUID of the verity superblock [default: random]
    #[arg(long, value_name = "UUID")]
    verity_uuid: Option<String>,
    /// Salt of the verity tree, hexadecimal, `-` for none [default: random]
    #[arg(long, value_name = "HEX", allow_hyphen_values = true)]
    salt: Option<String>,
    /// Salt after (0) or before (1) the data
    #[arg(long, value_name = "0|1", default_value = "1")]
    format: u32,
    /// Hash algorithm, as the kernel names it
    #[arg(long, value_name = "NAME", default_value = "sha256")]
    hash: String,
    /// Bytes of a block of data
    #[arg(long, value_name = "BYTES", default_value = "4096")]
    data_block_size: u64,
    /// Bytes of a block of the tree
    #[arg(long, value_name = "BYTES", default_value = "4096")]
    hash_block_size: u64,
    /// Where the tree lies: behind the data, or on a partition of its own
    #[arg(long, value_enum, default_value = "behind")]
    tree: Place,
    /// Add error correction, behind the tree or on a partition of its own
    #[arg(long, value_enum)]
    fec: Option<Place>,
    /// Bytes of each error-correcting code
    #[arg(long, value_name = "2-24", default_value = "2")]
    fec_roots: u32,
}

pub fn run(args: Args) -> Result<Verdict> {
    ensure!(
        matches!(args.stage2, Filesystem::Squashfs | Filesystem::Erofs),
        "the stage-2 image can be squashfs or erofs, not {}",
        args.stage2
    );
    let roots = args.verity.fec_roots;
    tools::require(&tools::machine(args.arch))?;
    let made = disk::make(&Recipe {
        arch: args.arch,
        usr: args.usr,
        identity: Identity {
            uuid: args.uuid.unwrap_or(Recipe::default().identity.uuid),
            label: args.label,
        },
        stage2: args.stage2,
        root: args.root,
        system: false,
        more: None,
        image_path: args.image_path,
        usr_bytes: args.usr_bytes,
        verity: !args.verity.no_verity,
        tree: Tree {
            format: args.verity.format,
            algorithm: args.verity.hash,
            data_block_size: args.verity.data_block_size,
            hash_block_size: args.verity.hash_block_size,
            salt: args.verity.salt,
            superblock: !args.verity.no_superblock,
            uuid: args.verity.verity_uuid,
            place: args.verity.tree,
            fec: args.verity.fec.map(|place| FecRecipe { place, roots }),
        },
        table: args.table,
        layout: Layout::Demo,
        esp_bytes: args.esp_size << 20,
        sector: args.sector,
        partuuids_from_root_hash: args.partuuids_from_root_hash,
    })?;
    let disk = made.copy(&std::path::absolute(args.output)?)?;
    let description = serde_json::to_string_pretty(&disk)? + "\n";
    let path = Disk::description(&disk.path);
    fs::write(&path, &description).with_context(|| format!("cannot write {}", path.display()))?;
    print(&description)?;
    Ok(Verdict::Pass)
}
