//! Takes modules out of a pack, as the init does it.

use anyhow::{Context, Result, ensure};
use toehold::format::{
    pack::{
        group,
        modules::{Modules, Tables},
    },
    plan::Plan,
};

/// More bytes than any group takes: what a pack says of that has no checksum.
const MAX_ROOM: usize = 1 << 30;

/// A module, taken out of a pack.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked {
    pub group: usize,
    pub name: String,
    /// As the kernel takes it.
    pub file: Vec<u8>,
}

/// All modules of a pack, group by group; the plan tells which there are.
pub fn decode(pack: &[u8], plan: &Plan) -> Result<Vec<Unpacked>> {
    let mut unpacked = Vec::new();
    for (number, place) in plan.groups_of_pack().enumerate() {
        let modules = plan.modules().filter(|module| module.is_in(place));
        let names = modules.map(|module| String::from_utf8_lossy(module.name).into_owned());
        let group = group(pack, number);
        let group = group
            .with_context(|| format!("group {number} of the pack is damaged, or not there"))?;
        ensure!(
            group.room <= MAX_ROOM,
            "group {number} of the pack is damaged: it cannot take {} bytes to unpack it",
            group.room
        );
        let (mut room, mut tables) = (vec![0; group.room], Box::new(Tables::NONE));
        let mut modules = Modules::none(&mut tables);
        modules.unpack(group, &mut room).with_context(|| {
            format!("group {number} of the pack is damaged: it takes more bytes than it says")
        })?;
        for name in names {
            let file = modules.take().map(<[u8]>::to_vec);
            let file = file.with_context(|| {
                format!("group {number} of the pack is damaged: {name} is not in it")
            })?;
            unpacked.push(Unpacked {
                group: number,
                name,
                file,
            });
        }
    }
    Ok(unpacked)
}
