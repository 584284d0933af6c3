//! Puts a test disk together: what goes into its partitions, and where these lie.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use uuid::{Uuid, uuid};

use super::table::{self, Partition, Table};
use super::{BLOCK, Disk, Filesystem, Identity, MIB, Recipe, content, verity};
use crate::guest::Stage2;

/// Number of the /usr partition.
const USR: u32 = 2;
/// PARTUUID of Flatcar's first /usr partition.
pub const PARTUUID: Uuid = uuid!("7130c94a-213a-4e5a-8e26-6cce9662f132");
pub const PARTLABEL: &str = "USR-A";

/// What goes into a partition.
struct Content {
    number: u32,
    name: &'static str,
    file: PathBuf,
}

/// Names of the partitions that tree and error correction have to themselves.
const TREE: &str = "USR-A-verity";
const FEC: &str = "USR-A-fec";

/// Makes the disk in `folder`.
pub fn build(recipe: &Recipe, stage2: &Stage2, folder: &Path) -> Result<Disk> {
    let work = tempfile::tempdir_in(folder)?;
    let file = |name: &str| work.path().join(name);
    let (root, usr) = (file("stage2"), file("usr"));
    stage2.lay_out(&root)?;
    let image = usr.join(recipe.image_path.trim_start_matches('/'));
    fs::create_dir_all(image.parent().context("the image needs a path")?)?;
    recipe
        .stage2
        .make(Some(&root), &image, None, &recipe.identity)?;
    content::fill(&usr.join("share/toehold"))?;

    let data = file("usr.img");
    let usr = Some(usr.as_path());
    recipe
        .usr
        .make(usr, &data, recipe.usr_bytes, &recipe.identity)?;
    let filesystem_bytes = data.metadata()?.len().next_multiple_of(BLOCK);
    verity::resize(&data, filesystem_bytes)?;
    let (mut verity, mut own) = (None, Vec::new());
    if recipe.verity {
        let protected = verity::protect(&recipe.tree, &data, filesystem_bytes, work.path())?;
        verity = Some(protected.verity);
        own.extend(protected.tree.map(|file| (TREE, file)));
        own.extend(protected.fec.map(|file| (FEC, file)));
    } else {
        // As on real disks, where what follows a filesystem is not always nothing.
        verity::resize(&data, filesystem_bytes + MIB)?;
    }
    let mut contents = neighbours(work.path())?;
    let usr = Content {
        number: USR,
        name: PARTLABEL,
        file: data,
    };
    contents.insert(1, usr);
    let own = recipe.table.more().zip(own);
    contents.extend(own.map(|(number, (name, file))| Content { number, name, file }));

    let root_hash = verity.as_ref().map(|verity| verity.root_hash.as_str());
    let partitions = place(recipe, root_hash, &contents)?;
    let path = folder.join("disk.img");
    recipe.table.write(&path, recipe.sector, &partitions)?;
    for (content, partition) in contents.iter().zip(&partitions) {
        content::copy_sparse(&content.file, &path, partition.offset)?;
    }
    let named = |name: &str| {
        let place = contents.iter().position(|content| content.name == name)?;
        partitions.get(place).cloned()
    };
    if let Some(verity) = &mut verity {
        verity.partition = named(TREE);
        if let Some(fec) = &mut verity.fec {
            fec.partition = named(FEC);
        }
    }
    let usr = named(PARTLABEL).context("a disk without /usr")?;
    Ok(Disk {
        path,
        sector: recipe.sector,
        filesystem: recipe.usr,
        uuid: recipe
            .usr
            .has_uuid()
            .then(|| recipe.identity.uuid.to_string()),
        label: recipe
            .usr
            .has_label()
            .then(|| recipe.identity.label.clone()),
        partuuid: usr.partuuid,
        partlabel: usr.partlabel,
        partition: usr.number,
        partition_offset: usr.offset,
        partition_bytes: usr.bytes,
        filesystem_bytes,
        verity,
        partitions,
    })
}

/// The partitions before and behind /usr that have nothing to do with the boot.
fn neighbours(folder: &Path) -> Result<Vec<Content>> {
    let neighbour =
        |number, name: &'static str, filesystem: Filesystem, bytes| -> Result<Content> {
            let file = folder.join(name);
            let identity = Identity {
                uuid: own_uuid(0xF500 + number),
                label: name.to_owned(),
            };
            filesystem.make(None, &file, Some(bytes), &identity)?;
            Ok(Content { number, name, file })
        };
    Ok(vec![
        neighbour(1, table::EFI, Filesystem::Vfat, 6 * MIB)?,
        neighbour(3, "OEM", Filesystem::Ext2, 4 * MIB)?,
    ])
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

/// Where the partitions lie: one after the other, with 1 MiB before each.
fn place(recipe: &Recipe, root_hash: Option<&str>, contents: &[Content]) -> Result<Vec<Partition>> {
    let mut offset = MIB;
    let mut partitions = Vec::new();
    for content in contents {
        let from_hash = |range: fn(&str) -> Option<&str>| -> Result<Uuid> {
            let digits = root_hash
                .and_then(range)
                .context("no root hash to derive a PARTUUID from")?;
            Ok(Uuid::parse_str(digits)?)
        };
        let guid = match content.name {
            PARTLABEL if recipe.partuuids_from_root_hash => from_hash(|hash| hash.get(..32))?,
            TREE if recipe.partuuids_from_root_hash => {
                from_hash(|hash| hash.get(hash.len().checked_sub(32)?..))?
            }
            PARTLABEL => PARTUUID,
            _ => own_uuid(content.number),
        };
        let (partlabel, partuuid) = match recipe.table {
            Table::Gpt => (content.name, guid.to_string()),
            Table::Mbr => ("", table::mbr_partuuid(content.number)),
        };
        let bytes = content.file.metadata()?.len().next_multiple_of(MIB);
        partitions.push(Partition {
            number: content.number,
            partuuid,
            partlabel: partlabel.to_owned(),
            offset,
            bytes,
        });
        offset += bytes + MIB;
    }
    Ok(partitions)
}
