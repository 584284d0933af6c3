//! Which modules stand together in the module pack: those that are loaded together, and that are alike.
//!
//! A group is unpacked whole, so that what it has beside the wanted module costs time and memory; and the smaller groups are, the
//! less they have in common that packs well. What every boot loads stays in the archive: it has to be unpacked anyway, and the kernel
//! does that in a sixth of the instructions; but where it is much of all, it is what makes the initrd large, and stands in groups of
//! its own. What leads to disks that answer at once stands
//! by families (`virtio`, `nvme`), and so do the drivers of SATA disks: these are waited for, and cut finer. Everything else is ordered by the bus that asks for it
//! (`pci`, `usb`), and within that by the folder of the kernel's source, which tells what is alike.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chosen, Rank};

/// A group takes no more of these many bytes of modules, unless one is larger.
pub const BYTES: u64 = 5 << 20;
/// The same for what is waited for: each of these groups is unpacked on the way to stage 2 by some machine.
const EARLY: u64 = 1 << 20;
/// The same for drivers of SATA disks, which most machines have: a library of 0.8 MB, and what needs it.
const SATA: u64 = 2 << 20;
/// From what part of these bytes on a bus or a family stands by itself; below, it shares with the next one.
const LEAST: u64 = 4;

/// What a module stands beside: in this order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Beside {
    Always,
    /// A family; none for what several need.
    Direct(String),
    Sata,
    /// A bus, and a folder of the kernel's source.
    Bus(String, String),
}

impl Beside {
    /// How many bytes a group of such has at most, where others have `limit`.
    fn limit(&self, limit: u64) -> u64 {
        match self {
            Self::Bus(..) => limit,
            Self::Sata => limit.min(SATA),
            _ => limit.min(EARLY),
        }
    }

    /// Whether it can be in one group with those of another one, which is `small` or not.
    fn joins(&self, other: &Self, small: bool) -> bool {
        match (self, other) {
            (Self::Always, Self::Always) | (Self::Sata, Self::Sata) => true,
            (Self::Direct(one), Self::Direct(other)) | (Self::Bus(one, _), Self::Bus(other, _)) => {
                one == other || small
            }
            _ => false,
        }
    }
}

/// What every boot loads stays in the archive if it is no larger part of all modules' bytes than one of so many.
const FEW: u64 = 8;

/// Gives modules the number of their groups, of which none takes more than `limit` bytes: `all` of them, or those only that not every
/// boot loads, where the others are few.
pub fn form(modules: &mut [Chosen], limit: u64, all: bool) {
    let needs = closures(modules);
    let beside = beside(modules, &needs);
    let bytes = |number: usize| modules[number].module.bytes;
    // What needs least comes first, so that what leads to most disks stands together.
    let weight = |number: usize| match beside[number] {
        Beside::Direct(_) => needs[number].iter().map(|needed| bytes(*needed)).sum(),
        _ => 0,
    };
    let mut order: Vec<usize> = (0..modules.len()).collect();
    let is_always = |number: &usize| beside[*number] == Beside::Always;
    let always: u64 = order.iter().copied().filter(is_always).map(bytes).sum();
    let all = all || always * FEW > order.iter().copied().map(bytes).sum();
    order.retain(|number| all || !is_always(number));
    order.sort_by_key(|number| (&beside[*number], weight(*number), *number));
    let (mut group, mut taken) = (0, 0);
    let mut groups = vec![None; modules.len()];
    let mut before: Option<usize> = None;
    for number in order {
        let this = &beside[number];
        let limit = this.limit(limit);
        let is_full = taken + bytes(number) > limit;
        let small = taken < limit / LEAST;
        if before.is_some_and(|before| is_full || !this.joins(&beside[before], small)) {
            (group, taken) = (group + 1, 0);
        }
        groups[number] = Some(group);
        taken += bytes(number);
        before = Some(number);
    }
    // In the plan's order each is met before the next one.
    let mut met = Vec::new();
    for (chosen, group) in modules.iter_mut().zip(groups) {
        chosen.group = group.map(|group| {
            let known = met.iter().position(|other| *other == group);
            known.unwrap_or_else(|| {
                met.push(group);
                met.len() - 1
            })
        });
    }
}

/// Each module and all that it needs.
fn closures(modules: &[Chosen]) -> Vec<BTreeSet<usize>> {
    let mut closures: Vec<BTreeSet<usize>> = Vec::new();
    for (number, chosen) in modules.iter().enumerate() {
        let mut closure = BTreeSet::from([number]);
        for (dependency, _) in &chosen.dependencies {
            closure.extend(closures[*dependency].iter().copied());
        }
        closures.push(closure);
    }
    closures
}

fn beside(modules: &[Chosen], needs: &[BTreeSet<usize>]) -> Vec<Beside> {
    let mut always = BTreeSet::new();
    let mut families: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    // By module: how many that hardware of a bus asks for need it.
    let mut buses: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new(); modules.len()];
    for (chosen, needs) in modules.iter().zip(needs) {
        let bus = bus(chosen);
        for needed in needs {
            match chosen.rank {
                Rank::Always => drop(always.insert(*needed)),
                Rank::Direct => {
                    let family = chosen.module.name.split(['_', '-']).next();
                    let families = families.entry(*needed).or_default();
                    families.insert(family.unwrap_or_default());
                }
                Rank::Hardware | Rank::Console => {}
            }
            if let Some(bus) = bus {
                *buses[*needed].entry(bus).or_default() += 1;
            }
        }
    }
    let one = |(number, chosen): (usize, &Chosen)| {
        if always.contains(&number) {
            return Beside::Always;
        }
        if let Some(families) = families.get(&number) {
            let mut names = families.iter();
            return Beside::Direct(match (names.next(), names.next()) {
                (Some(family), None) => (*family).to_owned(),
                _ => String::new(),
            });
        }
        let bus = most(&buses[number]).unwrap_or_default();
        let folder = chosen.module.path.parent();
        if folder.is_some_and(|folder| folder.ends_with("drivers/ata")) {
            return Beside::Sata;
        }
        let folder = folder.map_or(String::new(), |folder| folder.display().to_string());
        Beside::Bus(bus.to_owned(), folder)
    };
    modules.iter().enumerate().map(one).collect()
}

/// The bus that most of a module's hardware is on.
fn bus<'a>(chosen: &Chosen<'a>) -> Option<&'a str> {
    let mut counts = BTreeMap::new();
    for alias in &chosen.module.info.aliases {
        if let Some((bus, _)) = alias.split_once(':') {
            *counts.entry(bus).or_default() += 1;
        }
    }
    most(&counts)
}

fn most<'a>(counts: &BTreeMap<&'a str, usize>) -> Option<&'a str> {
    counts
        .iter()
        .max_by_key(|(_, count)| **count)
        .map(|(bus, _)| *bus)
}
