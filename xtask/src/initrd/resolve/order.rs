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
            Self::Hardware => 0,
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

/// Whether a module is made for people at the console, going by its path below the modules directory (`kernel/drivers/…`,
/// `updates/drivers/…`) and its name.
pub fn serves_console(path: &Path, name: &str) -> bool {
    let below = path.components().skip(1).collect::<std::path::PathBuf>();
    CONSOLE_FOLDERS
        .iter()
        .any(|folder| below.starts_with(folder))
        || CONSOLE_DRIVERS.contains(&name.replace('-', "_").as_str())
}

/// Dependencies first; among modules that could come next, the one of the first rank, and of those the first by name.
///
/// A soft dependency that closes a circle is given up, with a warning, as modprobe ignores it.
pub fn order<'a>(
    edges: &mut Edges,
    rank: impl Fn(usize) -> Rank,
    name: impl Fn(usize) -> &'a str,
    warnings: &mut Vec<String>,
) -> Result<Vec<usize>> {
    loop {
        let (order, left) = sorted(edges, &rank, &name);
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
) -> (Vec<usize>, BTreeSet<usize>) {
    let mut missing = BTreeMap::new();
    let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, needs) in edges {
        let before = needs.iter().filter(|(_, need)| **need != Need::Weak);
        missing.insert(*number, before.clone().count());
        for (needed, _) in before {
            needed_by.entry(*needed).or_default().push(*number);
        }
    }
    let entry = |number: usize| (rank(number), name(number), number);
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
    use super::{Edges, Need, Rank, order, serves_console};
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
            let name = crate::initrd::modinfo::stem(name.unwrap()).unwrap();
            assert_eq!(serves_console(path, name), want, "{}", path.display());
        }
    }
}
