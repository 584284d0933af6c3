//! Test disks: a partition table with a verity-protected /usr that holds the stage-2 image, made by the real tools and kept
//! as sparse files.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::uuid;

use crate::lab::{cache, guest, paths, spent, systemd, tools};
use builder::arch::Arch;
use builder::progress;

mod build;
mod content;
mod filesystem;
mod layout;
mod table;
mod verity;

use content::BAIT;
pub use filesystem::{Filesystem, Identity};
pub use layout::{Layout, OTHER_PARTUUID, PARTLABEL, PARTUUID};
pub use table::{Partition, Table};
pub use verity::{Fec, FecRecipe, Place, Tree, Verity};

/// Block size of filesystems, and of verity's data and its tree where a recipe says nothing else.
const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Counted up when the same recipe is to give another disk.
const LAYOUT: u8 = 5;

/// What a disk shall have on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recipe {
    /// Of the programs in stage 2.
    pub arch: Arch,
    pub usr: Filesystem,
    /// UUID and LABEL of the /usr filesystem, where it has them.
    pub identity: Identity,
    pub stage2: Filesystem,
    /// The filesystem is not /usr, but the root: stage 2 itself, without an image.
    pub root: bool,
    /// Stage 2 and what follows it are a Debian with systemd: see [`systemd`].
    pub system: bool,
    /// A folder of files that stage 2 has in addition; its path is another one when they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<PathBuf>,
    /// Where the stage-2 image lies, relative to /usr.
    pub image_path: String,
    /// The /usr filesystem's exact size in bytes, a multiple of 4096; absent for what it needs. The verity superblock
    /// follows it.
    pub usr_bytes: Option<u64>,
    pub verity: bool,
    /// How verity protects it.
    pub tree: Tree,
    pub table: Table,
    /// What else is on it.
    pub layout: Layout,
    /// Bytes of the demo's EFI system partition, a multiple of 1 MiB.
    pub esp_bytes: u64,
    /// Bytes of a logical sector: 512 or 4096.
    pub sector: u64,
    /// PARTUUIDs of data and tree are the first and the last 128 bits of the root hash.
    pub partuuids_from_root_hash: bool,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            arch: Arch::X86_64,
            usr: Filesystem::Btrfs,
            identity: Identity {
                uuid: uuid!("7130c94a-0000-4000-8000-00000000f500"),
                label: "toehold-usr".to_owned(),
            },
            stage2: Filesystem::Squashfs,
            root: false,
            system: false,
            more: None,
            image_path: "lib/toehold/stage2.img".to_owned(),
            usr_bytes: None,
            verity: true,
            tree: Tree::default(),
            table: Table::Gpt,
            layout: Layout::Demo,
            esp_bytes: 6 * MIB,
            sector: 512,
            partuuids_from_root_hash: false,
        }
    }
}

impl Recipe {
    /// A disk as Flatcar has it.
    ///
    /// Source: flatcar/scripts, build_library/disk_layout.json and disk_util.
    pub fn flatcar() -> Self {
        Self {
            usr_bytes: Some(260_094 * BLOCK),
            image_path: "lib/flatcar/bootengine.img".to_owned(),
            layout: Layout::Flatcar,
            ..Self::default()
        }
    }
}

/// A disk, and everything that a command line or a test has to know of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// The image, a sparse file.
    pub path: PathBuf,
    /// Bytes of a logical sector, which the machine has to show.
    pub sector: u64,
    /// Of /usr, or of the root.
    pub filesystem: Filesystem,
    /// Of the stage-2 image; absent where the filesystem is the root.
    pub stage2: Option<Filesystem>,
    /// UUID of the /usr filesystem, if it has one.
    pub uuid: Option<String>,
    /// LABEL of the /usr filesystem, if it has one.
    pub label: Option<String>,
    /// Of the /usr partition.
    pub partuuid: String,
    /// Of the /usr partition.
    pub partlabel: String,
    /// Number of the /usr partition.
    pub partition: u32,
    /// Where the /usr partition begins on the disk, in bytes.
    pub partition_offset: u64,
    /// Length of the /usr partition in bytes.
    pub partition_bytes: u64,
    /// Size of the /usr filesystem in bytes.
    pub filesystem_bytes: u64,
    /// How it is protected, if it is.
    pub verity: Option<Verity>,
    /// All of them, in the order of their places.
    pub partitions: Vec<Partition>,
}

/// The disk made to this recipe; made now, or found below `target/toehold/images` where one made from the same stage 2
/// lies.
pub fn make(recipe: &Recipe) -> Result<Disk> {
    tools::require(tools::DISK)?;
    let stage2 = guest::Stage2::find(recipe.arch)?;
    let key = cache::key(&[
        &[LAYOUT],
        &serde_json::to_vec(recipe)?,
        stage2.fingerprint.as_bytes(),
        systemd::fingerprint().as_bytes(),
    ]);
    let folder = paths::output().join("images").join(key);
    let folder = cache::folder(&folder, |folder| {
        let _span = spent::on("disks");
        let step = progress::step(format!("making a disk with /usr on {}", recipe.usr));
        let disk = build::build(recipe, &stage2, folder).context("cannot make a test disk")?;
        fs::write(folder.join("disk.json"), serde_json::to_vec_pretty(&disk)?)?;
        step.done();
        Ok(())
    })?;
    let path = folder.join("disk.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

impl Disk {
    /// The kernel command-line words that boot this disk.
    pub fn words(&self) -> String {
        self.words_for(&format!("PARTUUID={}", self.partuuid))
    }

    /// The same, with another way to name the data partition.
    pub fn words_for(&self, spec: &str) -> String {
        let name = self.name();
        let mount = if self.stage2.is_some() {
            "mount.usr"
        } else {
            "root"
        };
        let Some(verity) = &self.verity else {
            return format!("{mount}={spec}");
        };
        let hash = if self.stage2.is_some() {
            "verity.usrhash"
        } else {
            "roothash"
        };
        let mut words = format!(
            "{mount}=/dev/mapper/{name} verity.{name}={spec} {hash}={}",
            verity.root_hash
        );
        if let Some(tree) = &verity.partition {
            words += &format!(" systemd.verity_{name}_hash=PARTUUID={}", tree.partuuid);
        }
        words + &self.verity_options()
    }

    /// The words that leave it to the root hash to say which the partitions are.
    pub fn words_from_root_hash(&self) -> Option<String> {
        let root_hash = &self.verity.as_ref()?.root_hash;
        let options = self.verity_options();
        Some(match self.stage2 {
            Some(_) => format!("mount.usr=/dev/mapper/usr usrhash={root_hash}{options}"),
            None => format!("roothash={root_hash}{options}"),
        })
    }

    /// What the filesystem is, and the name of its verity device: `usr` or `root`.
    pub fn name(&self) -> &'static str {
        if self.stage2.is_some() { "usr" } else { "root" }
    }

    /// The word for the parameters that have to be told, if any, with a blank before it.
    fn verity_options(&self) -> String {
        let options = self
            .verity
            .as_ref()
            .map(|verity| verity.options(&self.partuuid));
        match options.unwrap_or_default() {
            none if none.is_empty() => none,
            options => format!(" systemd.verity_{}_options={options}", self.name()),
        }
    }

    /// Where the description of a disk lies, as JSON: beside it, with `.json` behind its name.
    pub fn description(disk: &Path) -> PathBuf {
        disk.with_added_extension("json")
    }

    /// A copy at `path`, sharing or skipping what it can.
    pub fn copy(&self, path: &Path) -> Result<Self> {
        // Says better than cp why there can be none.
        let mut file = File::options();
        file.write(true).create(true).truncate(false);
        file.open(path).with_context(|| {
            format!(
                "cannot write the disk {}: it has to be a file in a folder that is there",
                path.display()
            )
        })?;
        let mut copy = std::process::Command::new("cp");
        copy.args(["--reflink=auto", "--sparse=always"]);
        tools::run(copy.arg(&self.path).arg(path))?;
        Ok(Self {
            path: path.to_owned(),
            ..self.clone()
        })
    }

    /// Puts a file on the EFI system partition, at `path`, whose folders are made; what is there is replaced.
    pub fn put_on_esp(&self, file: &Path, path: &str) -> Result<()> {
        let mut partitions = self.partitions.iter();
        let esp = partitions.find(|partition| partition.partlabel == table::EFI);
        let esp = esp.context("the disk has no EFI system partition")?;
        let image = format!("{}@@{}", self.path.display(), esp.offset);
        let folders = path
            .match_indices('/')
            .filter_map(|(end, _)| path.get(..end));
        let mut make = tools::MMD.command()?;
        make.args(["-D", "s", "-i", &image]);
        // Fails where one is there already, too; where one could not be made, the copy fails.
        let _ = tools::run(make.args(folders.map(|folder| format!("::{folder}"))));
        let mut copy = tools::MCOPY.command()?;
        copy.args(["-D", "o", "-i", &image]).arg(file);
        tools::run(copy.arg(format!("::{path}"))).with_context(|| {
            let bytes = esp.bytes;
            format!(
                "cannot put {} on an EFI system partition of {bytes} bytes",
                file.display()
            )
        })?;
        Ok(())
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
        Ok(file.write_all_at(&[0; 512], self.sector)?)
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
