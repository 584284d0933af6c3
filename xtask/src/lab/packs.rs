//! Groups of the module pack, each packed once: the best compression takes seconds.

use std::fs;

use anyhow::Result;
use builder::pack::{Make, Packed};

use crate::lab::{cache, paths};

/// What packs them, and says into what.
const PACKER: [&[u8]; 7] = [
    include_bytes!("../../builder/src/pack.rs"),
    include_bytes!("../../builder/src/pack/apart.rs"),
    include_bytes!("../../builder/src/pack/apart/tables.rs"),
    include_bytes!("../../builder/src/pack/apart/types.rs"),
    include_bytes!("../../builder/src/pack/elf.rs"),
    include_bytes!("../../../src/format/pack/module.rs"),
    include_bytes!("../../../src/format/pack/types.rs"),
];

/// Packs a group of files, or finds what they were packed to.
pub fn keep(files: &[&[u8]], make: Make) -> Result<Packed> {
    let lengths: Vec<u8> = files
        .iter()
        .flat_map(|file| file.len().to_le_bytes())
        .collect();
    let mut parts = PACKER.to_vec();
    parts.push(&lengths);
    parts.extend(files);
    let folder = paths::output().join("packs").join(cache::key(&parts));
    let folder = cache::folder(&folder, |folder| {
        let packed = make()?;
        fs::write(folder.join("bytes"), &packed.bytes)?;
        Ok(fs::write(
            folder.join("about"),
            serde_json::to_vec(&packed)?,
        )?)
    })?;
    Ok(Packed {
        bytes: fs::read(folder.join("bytes"))?,
        ..serde_json::from_slice(&fs::read(folder.join("about"))?)?
    })
}
