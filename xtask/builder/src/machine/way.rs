//! The way to a device: what has to be driven before it is there.

use std::collections::BTreeSet;

use super::{Block, Device, Machine};

impl Block {
    pub(super) fn is_mapped_as(&self, name: &str) -> bool {
        self.mapper.as_ref().is_some_and(|(own, _)| own == name)
    }

    /// Whether it is one of dm-verity's.
    pub fn is_verity(&self) -> bool {
        let uuid = self.mapper.as_ref().map(|(_, uuid)| uuid);
        uuid.is_some_and(|uuid| uuid.starts_with("CRYPT-VERITY-"))
    }
}

impl Machine {
    /// A block device and all those that it is made of, itself first.
    pub fn made_of<'a>(&'a self, block: &'a str) -> Vec<(&'a str, &'a Block)> {
        let mut found: Vec<(&str, &Block)> = Vec::new();
        let mut todo = vec![block];
        while let Some(name) = todo.pop() {
            if let Some(block) = self.blocks.get(name)
                && found.iter().all(|(other, _)| *other != name)
            {
                found.push((name, block));
                todo.extend(block.slaves.iter().map(String::as_str));
            }
        }
        found
    }

    /// The devices on the way to a path below /sys/devices, the nearest first: its parents, and what supplies these.
    pub fn way<'a>(&'a self, path: &'a str) -> Vec<(&'a str, &'a Device)> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut todo = vec![path];
        while let Some(path) = todo.pop() {
            if !seen.insert(path) {
                continue;
            }
            todo.extend(path.rsplit_once('/').map(|(parent, _)| parent));
            if let Some(device) = self.devices.get(path) {
                found.push((path, device));
                todo.extend(device.suppliers.iter().map(String::as_str));
            }
        }
        found
    }

    /// The same for a block device, whatever it is made of.
    pub fn way_to_block(&self, block: &str) -> Vec<(&str, &Device)> {
        let mut found: Vec<(&str, &Device)> = Vec::new();
        for (name, _) in self.made_of(block) {
            let Some((_, block)) = self.blocks.get_key_value(name) else {
                continue;
            };
            let ends = [&block.path].into_iter().chain(&block.controllers);
            for step in ends.flat_map(|end| self.way(end)) {
                if !found.contains(&step) {
                    found.push(step);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::{Block, Device, Machine};

    fn block(path: &str, slaves: &[&str], controllers: &[&str]) -> Block {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Block {
            path: path.to_owned(),
            slaves: texts(slaves),
            controllers: texts(controllers),
            ..Block::default()
        }
    }

    #[test]
    fn through_slaves_controllers_and_suppliers() {
        let mut machine = Machine::default();
        let blocks = [
            (
                "dm-0",
                block("virtual/block/dm-0", &["nvme0n1p1", "mmcblk0p1"], &[]),
            ),
            (
                "nvme0n1p1",
                block(
                    "virtual/nvme-subsystem/s/nvme0n1/nvme0n1p1",
                    &[],
                    &["pci/a/nvme/nvme0"],
                ),
            ),
            (
                "mmcblk0p1",
                block("soc/mmc/mmc0:1/block/mmcblk0/mmcblk0p1", &[], &[]),
            ),
        ];
        machine.blocks = blocks.map(|(name, block)| (name.to_owned(), block)).into();
        for path in ["pci/a", "soc/mmc", "soc/mmc/mmc0:1", "soc/clock", "other"] {
            let suppliers = match path {
                "soc/mmc" => vec!["soc/clock".to_owned()],
                // Those that need each other are not gone to for ever.
                "soc/clock" => vec!["soc/mmc".to_owned()],
                _ => Vec::new(),
            };
            let device = Device {
                suppliers,
                ..Device::default()
            };
            machine.devices.insert(path.to_owned(), device);
        }
        let way = machine.way_to_block("dm-0");
        let way: Vec<&str> = way.into_iter().map(|(path, _)| path).collect();
        assert_eq!(way, ["soc/mmc/mmc0:1", "soc/mmc", "soc/clock", "pci/a"]);
    }
}
