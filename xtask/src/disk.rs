//! Test disks: a GPT with a verity-protected /usr that holds the stage-2 image, made by the real tools and kept as sparse files.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{cache, guest, paths, progress, tools};

mod filesystem;
mod table;

pub use filesystem::Filesystem;
pub use table::{PARTLABEL, PARTUUID};

/// Block size of everything here: filesystems, verity's data and its tree.
const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Where the second partition begins, in bytes.
const USR_OFFSET: u64 = 8 * MIB;
/// A file in /usr that nothing but stage 2 reads; each of its blocks begins with these bytes.
const BAIT: &[u8] = b"toehold bait";

/// What a disk shall have on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recipe {
    pub usr: Filesystem,
    pub stage2: Filesystem,
    /// Where the stage-2 image lies, relative to /usr.
    pub image_path: String,
    pub verity: bool,
    /// The /usr filesystem's exact size in bytes, a multiple of 4096; absent for what it needs. The verity superblock
    /// follows it.
    pub usr_bytes: Option<u64>,
    /// UUID in the verity superblock; absent for a random one.
    pub verity_uuid: Option<String>,
    /// Hexadecimal; absent for a random one.
    pub salt: Option<String>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            usr: Filesystem::Btrfs,
            stage2: Filesystem::Squashfs,
            image_path: "lib/toehold/stage2.img".to_owned(),
            verity: true,
            usr_bytes: None,
            verity_uuid: None,
            salt: None,
        }
    }
}

/// A disk, and everything that a command line or a test has to know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disk {
    pub path: PathBuf,
    pub filesystem: Filesystem,
    pub partuuid: String,
    pub partlabel: String,
    /// Number of the /usr partition.
    pub partition: u32,
    /// Where the /usr partition begins on the disk, in bytes.
    pub partition_offset: u64,
    /// Length of the /usr partition in bytes.
    pub partition_bytes: u64,
    /// Size of the /usr filesystem in bytes.
    pub filesystem_bytes: u64,
    pub verity: Option<Verity>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verity {
    pub root_hash: String,
    pub uuid: String,
    /// Byte offset of the superblock in the partition.
    pub hash_offset: u64,
    pub data_blocks: u64,
}

/// The disk made to this recipe; made now, or found below `target/toehold/images` where one made from the same stage 2
/// lies.
pub fn make(recipe: &Recipe) -> Result<Disk> {
    tools::require(tools::DISK)?;
    let stage2 = guest::Stage2::find()?;
    let key = cache::key(&[&serde_json::to_vec(recipe)?, &stage2.fingerprint()?]);
    let folder = paths::output().join("images").join(key);
    let folder = cache::folder(&folder, |folder| {
        let step = progress::step(format!("making a disk with /usr on {}", recipe.usr));
        let disk = build(recipe, &stage2, folder).context("cannot make a test disk")?;
        fs::write(folder.join("disk.json"), serde_json::to_vec_pretty(&disk)?)?;
        step.done();
        Ok(())
    })?;
    let path = folder.join("disk.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn build(recipe: &Recipe, stage2: &guest::Stage2, folder: &Path) -> Result<Disk> {
    let work = tempfile::tempdir_in(folder)?;
    let (root, usr) = (work.path().join("stage2"), work.path().join("usr"));
    stage2.lay_out(&root)?;
    let image = usr.join(recipe.image_path.trim_start_matches('/'));
    fs::create_dir_all(image.parent().context("the image needs a path")?)?;
    recipe.stage2.make(&root, &image, None)?;
    fill(&usr.join("share/toehold"))?;

    let data = work.path().join("usr.img");
    recipe.usr.make(&usr, &data, recipe.usr_bytes)?;
    let filesystem_bytes = data.metadata()?.len().next_multiple_of(BLOCK);
    File::options()
        .write(true)
        .open(&data)?
        .set_len(filesystem_bytes)?;
    let verity = match recipe.verity {
        true => Some(protect(recipe, &data, filesystem_bytes)?),
        false => None,
    };

    let path = folder.join("disk.img");
    // More than the filesystem takes, as on real disks: where no superblock follows it, something else does.
    let partition_bytes = (data.metadata()?.len() + 1).next_multiple_of(MIB);
    table::write(&path, USR_OFFSET, partition_bytes)?;
    copy_sparse(&data, &path, USR_OFFSET)?;
    Ok(Disk {
        path,
        filesystem: recipe.usr,
        partuuid: PARTUUID.to_owned(),
        partlabel: PARTLABEL.to_owned(),
        partition: table::USR,
        partition_offset: USR_OFFSET,
        partition_bytes,
        filesystem_bytes,
        verity,
    })
}

/// Appends a verity superblock and tree to the file `data`, whose first `bytes` are the data.
fn protect(recipe: &Recipe, data: &Path, bytes: u64) -> Result<Verity> {
    let mut format = tools::VERITYSETUP.command()?;
    format.arg("format").arg(data).arg(data);
    format.arg(format!("--hash-offset={bytes}"));
    format.arg(format!("--data-blocks={}", bytes / BLOCK));
    if let Some(uuid) = &recipe.verity_uuid {
        format.arg(format!("--uuid={uuid}"));
    }
    if let Some(salt) = &recipe.salt {
        format.arg(format!("--salt={salt}"));
    }
    let said = tools::capture(format.env("LC_ALL", "C"))?;
    let field = |name: &str| {
        said.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
            .with_context(|| format!("veritysetup format printed no `{name}`:\n{said}"))
    };
    Ok(Verity {
        root_hash: field("Root hash:")?,
        uuid: field("UUID:")?,
        hash_offset: bytes,
        data_blocks: bytes / BLOCK,
    })
}

/// A few hundred small files and some larger ones: what a directory of an operating system looks like. The bytes are
/// those of a fixed pseudo-random sequence, which no filesystem compresses.
fn fill(folder: &Path) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = |len: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .flatten()
        .take(len)
        .collect()
    };
    for number in 0..300 {
        let folder = folder.join(format!("small/{}", number % 10));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number:03}")), bytes(200 + number * 7))?;
    }
    for name in ["large-1", "large-2"] {
        fs::write(folder.join(name), bytes(MIB as usize))?;
    }
    let mut bait = bytes(256 << 10);
    for block in bait.chunks_mut(BLOCK as usize) {
        block[..BAIT.len()].copy_from_slice(BAIT);
    }
    fs::write(folder.join("bait"), bait)?;
    Ok(())
}

/// Copies `from` into `to` at `offset`, leaving holes where it has only zeros.
fn copy_sparse(from: &Path, to: &Path, offset: u64) -> Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::options().write(true).open(to)?;
    let mut buffer = vec![0; MIB as usize];
    let mut position = offset;
    loop {
        let len = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        if bytes.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(position))?;
            to.write_all(bytes)?;
        }
        position += len as u64;
    }
}

impl Disk {
    /// The kernel command-line words that boot this disk.
    pub fn words(&self) -> String {
        self.words_for(&format!("PARTUUID={}", self.partuuid))
    }

    /// The same, with another way to name the partition.
    pub fn words_for(&self, spec: &str) -> String {
        match &self.verity {
            Some(verity) => format!(
                "mount.usr=/dev/mapper/usr verity.usr={spec} verity.usrhash={}",
                verity.root_hash
            ),
            None => format!("mount.usr={spec}"),
        }
    }

    /// Where the description of a disk lies, as JSON: beside it, with `.json` behind its name.
    pub fn description(disk: &Path) -> PathBuf {
        disk.with_added_extension("json")
    }

    /// A copy at `path`, sharing or skipping what it can.
    pub fn copy(&self, path: &Path) -> Result<Self> {
        let mut copy = std::process::Command::new("cp");
        copy.args(["--reflink=auto", "--sparse=always"]);
        tools::run(copy.arg(&self.path).arg(path))?;
        Ok(Self {
            path: path.to_owned(),
            ..self.clone()
        })
    }

    /// Flips one bit of the byte at `offset` in the /usr partition.
    pub fn flip(&self, offset: u64) -> Result<()> {
        if offset >= self.partition_bytes {
            bail!("byte {offset} lies beyond the partition");
        }
        let file = File::options().read(true).write(true).open(&self.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.partition_offset + offset)?;
        file.write_all_at(&[byte[0] ^ 1], self.partition_offset + offset)?;
        Ok(())
    }

    /// Destroys the primary GPT header (the second sector), so that only the one at the end of the disk is left.
    pub fn zero_primary_header(&self) -> Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        Ok(file.write_all_at(&[0; 512], 512)?)
    }

    /// Where in the partition a block lies that nothing but stage 2 reads.
    pub fn bait(&self) -> Result<u64> {
        let file = File::open(&self.path)?;
        let mut start = [0; BAIT.len()];
        for offset in (0..self.filesystem_bytes).step_by(BLOCK as usize) {
            file.read_exact_at(&mut start, self.partition_offset + offset)?;
            if start == BAIT {
                // Not the first block of the file: far from anything that lies before it.
                return Ok(offset + 32 * BLOCK);
            }
        }
        bail!(
            "the bait is not to be found: {} packs its files",
            self.filesystem
        )
    }
}
