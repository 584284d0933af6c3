//! In which order modules load: what they need first, and those for people last.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Result, bail};
use toehold::format::plan::{ALWAYS, CONSOLE};

use super::{Edges, Need};

/// When the init loads a module, the earliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Without waiting for hardware: asked for, or needed by one that is.
    Always,
    /// When hardware is found, before others: what leads to disks that answer at once.
    Direct,
    /// When hardware is found: what leads to a disk, and whatever else was chosen.
    Hardware,
    /// For people at the console only.
    Console,
}

impl Rank {
    /// The module's flags in the plan.
    pub fn flags(self) -> u8 {
        match self {
            Self::Always => ALWAYS,
            Self::Direct | Self::Hardware => 0,
            Self::Console => CONSOLE,
        }
    }
}

/// Folders of drivers that show something to people or listen to them, as the kernel's source is laid out. (USB and PCI
/// host controllers lead to disks, and so do `hv` and `virtio` but for what is here.)
const CONSOLE_FOLDERS: [&str; 8] = [
    "drivers/accessibility",
    "drivers/gpu",
    "drivers/hid",
    "drivers/input",
    "drivers/tty",
    "drivers/usb/class",
    "drivers/usb/serial",
    "drivers/video",
];
/// Those that lie among others.
const CONSOLE_DRIVERS: [&str; 1] = ["virtio_console"];

/// Drivers whose disks are there at once: no ports to be searched, no links to come up. With what brings their buses.
const DIRECT_FOLDERS: [&str; 2] = ["drivers/nvme/host", "drivers/virtio"];
const DIRECT_DRIVERS: [&str; 5] = [
    "hv_storvsc",
    "virtio_blk",
    "virtio_scsi",
    "vmw_pvscsi",
    "xen_blkfront",
];

/// Whether a driver's disks need not be searched for, going by its path below the modules directory and its name.
pub fn is_direct(path: &Path, name: &str) -> bool {
    lies_below(path, &DIRECT_FOLDERS) || DIRECT_DRIVERS.contains(&name.replace('-', "_").as_str())
}

/// Whether a module lies in one of these folders of the kernel's source.
fn lies_below(path: &Path, folders: &[&str]) -> bool {
    let below = path.components().skip(1).collect::<std::path::PathBuf>();
    folders.iter().any(|folder| below.starts_with(folder))
}

/// Whether a module is made for people at the console, going by its path below the modules directory (`kernel/drivers/…`,
/// `updates/drivers/…`) and its name.
pub fn serves_console(path: &Path, name: &str) -> bool {
    lies_below(path, &CONSOLE_FOLDERS) || CONSOLE_DRIVERS.contains(&name.replace('-', "_").as_str())
}

/// Whether a keyboard or a console can hang on a module, going by the same.
pub fn attends(path: &Path, name: &str) -> bool {
    serves_console(path, name)
        || lies_below(path, &["drivers/usb/host"])
        || name.starts_with("virtio_pci")
}

/// Dependencies first; among modules that could come next, the one of the first rank, of those the one that the most bytes
/// wait for (it and what comes after it, the longest way: loading takes as long as a module is large), and then the first by
/// name.
///
/// A soft dependency that closes a circle is given up, with a warning, as modprobe ignores it.
pub fn order<'a>(
    edges: &mut Edges,
    rank: impl Fn(usize) -> Rank,
    name: impl Fn(usize) -> &'a str,
    bytes: impl Fn(usize) -> u64,
    warnings: &mut Vec<String>,
) -> Result<Vec<usize>> {
    loop {
        let (order, left) = sorted(edges, &rank, &name, &bytes);
        let Some(start) = left.first() else {
            return Ok(order);
        };
        let circle = circle(edges, *start, &left);
        let links = || circle.iter().zip(circle.iter().skip(1));
        let soft = links().find(|(from, to)| edges[from].get(to) == Some(&Need::Soft));
        match soft {
            Some((from, to)) => {
                warnings.push(format!(
                    "{} needs {} softly and is needed by it: loaded without waiting for it",
                    name(*from),
                    name(*to)
                ));
                let (from, to) = (*from, *to);
                edges.entry(from).or_default().remove(&to);
            }
            None => {
                let names: Vec<&str> = circle.iter().map(|number| name(*number)).collect();
                bail!(
                    "modules depend on each other in a circle: {}",
                    names.join(" -> ")
                );
            }
        }
    }
}

/// As many modules as can be put into order, and those that cannot.
fn sorted<'a>(
    edges: &Edges,
    rank: impl Fn(usize) -> Rank,
    name: impl Fn(usize) -> &'a str,
    bytes: impl Fn(usize) -> u64,
) -> (Vec<usize>, BTreeSet<usize>) {
    let mut missing = BTreeMap::new();
    let mut needed_by = Users::new();
    for (number, needs) in edges {
        let before = needs.iter().filter(|(_, need)| **need != Need::Weak);
        missing.insert(*number, before.clone().count());
        for (needed, _) in before {
            needed_by.entry(*needed).or_default().push(*number);
        }
    }
    let mut weights = BTreeMap::new();
    for number in edges.keys() {
        weigh(*number, &needed_by, &rank, &bytes, &mut weights);
    }
    let entry = |number: usize| {
        let weight = std::cmp::Reverse(weights[&number]);
        (rank(number), weight, name(number), number)
    };
    let mut ready: BTreeSet<_> = missing
        .iter()
        .filter(|(_, missing)| **missing == 0)
        .map(|(number, _)| entry(*number))
        .collect();
    let mut order = Vec::new();
    while let Some((.., number)) = ready.pop_first() {
        order.push(number);
        missing.remove(&number);
        for user in needed_by.get(&number).into_iter().flatten() {
            if let Some(left) = missing.get_mut(user) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(entry(*user));
                }
            }
        }
    }
    (order, missing.into_keys().collect())
}

/// Which modules need a module, by numbers in the catalogue.
type Users = BTreeMap<usize, Vec<usize>>;

/// The bytes of a module and of those of its rank that come after it, the longest way. (A circle is followed up to its start.)
fn weigh(
    number: usize,
    needed_by: &Users,
    rank: &impl Fn(usize) -> Rank,
    bytes: &impl Fn(usize) -> u64,
    weights: &mut BTreeMap<usize, u64>,
) -> u64 {
    if let Some(weight) = weights.get(&number) {
        return *weight;
    }
    let own = bytes(number);
    weights.insert(number, own);
    let users = needed_by.get(&number).into_iter().flatten();
    let after = users
        .filter(|user| rank(**user) == rank(number))
        .map(|user| weigh(*user, needed_by, rank, bytes, weights))
        .max();
    let weight = own + after.unwrap_or(0);
    weights.insert(number, weight);
    weight
}

/// Each module in `left` needs another one in `left`, so following those must come back to one seen before: that one, and
/// the way back to it.
fn circle(edges: &Edges, start: usize, left: &BTreeSet<usize>) -> Vec<usize> {
    let mut path = vec![start];
    let mut last = start;
    while let Some((next, _)) = edges[&last]
        .iter()
        .find(|(needed, need)| **need != Need::Weak && left.contains(needed))
    {
        let seen = path.iter().position(|seen| seen == next);
        path.push(*next);
        if let Some(first) = seen {
            return path.split_off(first);
        }
        last = *next;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::{Edges, Need, Rank, is_direct, order, serves_console};
    use std::path::Path;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn edges(needs: &[(usize, usize, Need)]) -> Edges {
        let mut edges: Edges = (0..NAMES.len())
            .map(|number| (number, Default::default()))
            .collect();
        for (from, to, need) in needs {
            edges.get_mut(from).unwrap().insert(*to, *need);
        }
        edges
    }

    fn names(edges: &mut Edges, ranks: [Rank; 6]) -> Result<(String, Vec<String>), String> {
        let mut warnings = Vec::new();
        order(
            edges,
            |number| ranks[number],
            |number| NAMES[number],
            |_| 1,
            &mut warnings,
        )
        .map(|order| {
            (
                order.iter().map(|number| NAMES[*number]).collect(),
                warnings,
            )
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn needs_then_rank_then_name() {
        use Need::{Hard, Soft, Weak};
        use Rank::{Always, Console, Hardware};
        let ranks = [Console, Hardware, Always, Hardware, Console, Always];
        let none = vec![];
        for (needs, want) in [
            (&[][..], "cfbdae"),
            (&[(2, 5, Hard)], "fcbdae"),
            (&[(1, 3, Hard), (2, 5, Weak)], "cfdbae"),
            (&[(0, 4, Soft)], "cfbdea"),
        ] {
            let got = names(&mut edges(needs), ranks);
            assert_eq!(got, Ok((want.to_owned(), none.clone())));
        }
    }

    #[test]
    fn circles() {
        use Need::{Hard, Soft};
        let ranks = [Rank::Hardware; 6];
        let hard = names(
            &mut edges(&[(0, 1, Hard), (1, 2, Hard), (2, 1, Hard)]),
            ranks,
        );
        assert_eq!(
            hard,
            Err("modules depend on each other in a circle: b -> c -> b".to_owned())
        );
        let (order, warnings) = names(&mut edges(&[(0, 1, Hard), (1, 0, Soft)]), ranks).unwrap();
        assert_eq!(order, "bacdef");
        assert_eq!(
            warnings,
            ["b needs a softly and is needed by it: loaded without waiting for it"]
        );
    }

    #[test]
    fn what_most_waits_for_comes_first() {
        use Need::{Hard, Soft, Weak};
        // d is large and needs c, which e needs only should it be asked for.
        let mut edges = edges(&[(3, 2, Soft), (5, 4, Hard), (4, 2, Weak)]);
        let order = order(
            &mut edges,
            |_| Rank::Always,
            |number| NAMES[number],
            |number| [1, 6, 2, 9, 3, 2][number],
            &mut Vec::new(),
        );
        assert_eq!(order.unwrap(), [2, 3, 1, 4, 5, 0]);
    }

    #[test]
    fn disks_that_answer_at_once() {
        for (path, want) in [
            ("kernel/drivers/block/virtio_blk.ko", true),
            ("kernel/drivers/virtio/virtio_pci.ko.xz", true),
            ("kernel/drivers/nvme/host/nvme.ko", true),
            ("kernel/drivers/block/xen-blkfront.ko", true),
            ("kernel/drivers/block/floppy.ko", false),
            ("kernel/drivers/ata/ahci.ko", false),
            ("kernel/drivers/usb/storage/usb-storage.ko", false),
        ] {
            let path = Path::new(path);
            let name = path.file_name().and_then(|name| name.to_str());
            let name = crate::kernel::modinfo::stem(name.unwrap()).unwrap();
            assert_eq!(is_direct(path, name), want, "{}", path.display());
        }
    }

    #[test]
    fn drivers_for_people() {
        for (path, want) in [
            ("kernel/drivers/hid/usbhid/usbhid.ko", true),
            ("kernel/drivers/input/serio/i8042.ko.xz", true),
            ("updates/drivers/gpu/drm/i915/i915.ko", true),
            ("kernel/drivers/char/virtio_console.ko.zst", true),
            ("kernel/drivers/usb/serial/ftdi_sio.ko", true),
            ("kernel/drivers/usb/host/xhci-pci.ko", false),
            ("kernel/drivers/usb/storage/usb-storage.ko", false),
            ("kernel/drivers/hv/hv_vmbus.ko", false),
            ("kernel/drivers/mmc/host/sdhci-pci.ko", false),
            ("kernel/net/input/x.ko", false),
        ] {
            let path = Path::new(path);
            let name = path.file_name().and_then(|name| name.to_str());
            let name = crate::kernel::modinfo::stem(name.unwrap()).unwrap();
            assert_eq!(serves_console(path, name), want, "{}", path.display());
        }
    }
}
