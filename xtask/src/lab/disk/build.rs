//! Puts a test disk together: what goes into its partitions, and where these lie.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use uuid::{Uuid, uuid};

use super::layout::{Content, PARTLABEL};
use super::table::{self, Partition, Table};
use super::{BLOCK, Disk, Filesystem, Identity, MIB, Recipe, content, verity};
use crate::lab::guest::Stage2;
use crate::lab::{systemd, tools};

/// Names of the partitions that tree and error correction have to themselves.
const TREE: &str = "USR-A-verity";
const FEC: &str = "USR-A-fec";

/// The partition with the root of a Debian system.
const ROOT: &str = "ROOT";
const ROOT_NUMBER: u32 = 9;
const ROOT_UUID: Uuid = uuid!("7130c94a-0000-4000-8000-00000000f509");
const ROOT_BYTES: u64 = 128 * MIB;

/// Makes the disk in `folder`.
pub fn build(recipe: &Recipe, stage2: &Stage2, folder: &Path) -> Result<Disk> {
    let work = tempfile::tempdir_in(folder)?;
    let file = |name: &str| work.path().join(name);
    let (root, usr) = (file("stage2"), file("usr"));
    let mut others = Vec::new();
    if recipe.root {
        stage2.lay_out(&usr)?;
        std::os::unix::fs::symlink("../init", usr.join("sbin/init"))?;
        add(recipe.more.as_deref(), &usr)?;
        content::fill(&usr.join("usr/share/toehold"))?;
    } else {
        if recipe.system {
            let system = systemd::make()?;
            copy(&system.stage2, &root)?;
            copy(&system.usr, &usr)?;
            let image = file("root.img");
            let identity = Identity {
                uuid: ROOT_UUID,
                label: ROOT.to_owned(),
            };
            let folder = Some(system.root.as_path());
            Filesystem::Ext4.make(folder, &image, Some(ROOT_BYTES), &identity, &[])?;
            others.push((ROOT_NUMBER, ROOT, image));
        } else {
            stage2.lay_out(&root)?;
        }
        add(recipe.more.as_deref(), &root)?;
        let image = usr.join(recipe.image_path.trim_start_matches('/'));
        fs::create_dir_all(image.parent().context("the image needs a path")?)?;
        recipe
            .stage2
            .make(Some(&root), &image, None, &recipe.identity, &[])?;
        content::fill(&usr.join("share/toehold"))?;
    }

    let data = file("usr.img");
    let usr = Some(usr.as_path());
    let options = recipe.layout.usr_options();
    recipe
        .usr
        .make(usr, &data, recipe.usr_bytes, &recipe.identity, options)?;
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
    let layout = recipe.layout;
    let mut contents = layout.contents(recipe, data, work.path())?;
    for (number, (name, file)) in layout.more(recipe.table).zip(own) {
        contents.push(Content::new(number, name, file)?);
    }

    for (number, name, file) in others {
        contents.push(Content::new(number, name, file)?);
    }

    let root_hash = verity.as_ref().map(|verity| verity.root_hash.as_str());
    let partitions = place(recipe, root_hash, &contents)?;
    let path = folder.join("disk.img");
    recipe.table.write(&path, recipe.sector, &partitions)?;
    for (content, partition) in contents.iter().zip(&partitions) {
        if let Some(file) = &content.file {
            content::copy_sparse(file, &path, partition.offset)?;
        }
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
        stage2: (!recipe.root).then_some(recipe.stage2),
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

/// Copies a folder with all that is in it; what is in the other one stays.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto", "--no-target-directory"]);
    tools::run(copy.arg(from).arg(to))?;
    Ok(())
}

/// Copies what stage 2 has in addition.
fn add(more: Option<&Path>, root: &Path) -> Result<()> {
    more.map_or(Ok(()), |more| copy(more, root))
}

/// Where the partitions lie: one after the other.
fn place(recipe: &Recipe, root_hash: Option<&str>, contents: &[Content]) -> Result<Vec<Partition>> {
    let (mut offset, gap) = recipe.layout.gaps();
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
            _ => content.uuid(),
        };
        let (partlabel, partuuid) = match recipe.table {
            Table::Gpt => (content.name, guid.to_string()),
            Table::Mbr => ("", table::mbr_partuuid(content.number)),
        };
        partitions.push(Partition {
            number: content.number,
            partuuid,
            partlabel: partlabel.to_owned(),
            offset,
            bytes: content.bytes,
            kind: content.kind,
            flags: content.flags,
        });
        offset += content.bytes + gap;
    }
    Ok(partitions)
}
