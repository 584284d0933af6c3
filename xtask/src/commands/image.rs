//! `cargo xtask image`: a GPT test disk with a verity-protected /usr.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::Verdict;
use crate::disk::{self, Disk, Filesystem, Recipe};

#[derive(clap::Args)]
pub struct Args {
    /// The disk to write, a sparse file; DISK.json gets what is printed
    #[arg(short, long, value_name = "DISK")]
    output: PathBuf,
    /// Filesystem of /usr
    #[arg(long, value_enum, default_value = "btrfs")]
    usr: Filesystem,
    /// Filesystem of the stage-2 image
    #[arg(long, value_enum, default_value = "squashfs")]
    stage2: Filesystem,
    /// Where the stage-2 image lies, relative to /usr
    #[arg(long, value_name = "PATH", default_value = "lib/toehold/stage2.img")]
    image_path: String,
    /// Exact size of the /usr filesystem (btrfs, ext4); the verity superblock follows it
    #[arg(long, value_name = "BYTES")]
    usr_bytes: Option<u64>,
    /// Leave /usr unprotected
    #[arg(long)]
    no_verity: bool,
    /// UUID of the verity superblock [default: random]
    #[arg(long, value_name = "UUID")]
    verity_uuid: Option<String>,
    /// Salt of the verity tree, hexadecimal [default: random]
    #[arg(long, value_name = "HEX")]
    salt: Option<String>,
}

pub fn run(args: Args) -> Result<Verdict> {
    ensure!(
        matches!(args.stage2, Filesystem::Squashfs | Filesystem::Erofs),
        "the stage-2 image can be squashfs or erofs, not {}",
        args.stage2
    );
    let made = disk::make(&Recipe {
        usr: args.usr,
        stage2: args.stage2,
        image_path: args.image_path,
        verity: !args.no_verity,
        usr_bytes: args.usr_bytes,
        verity_uuid: args.verity_uuid,
        salt: args.salt,
    })?;
    let disk = made.copy(&std::path::absolute(args.output)?)?;
    let description = serde_json::to_string_pretty(&disk)? + "\n";
    fs::write(Disk::description(&disk.path), &description)?;
    print!("{description}");
    Ok(Verdict::Pass)
}
