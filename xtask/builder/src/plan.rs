//! Writes the plan; `toehold::format::plan` describes the format, and reads it.

pub mod shape;
#[cfg(test)]
pub mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};
use toehold::format::{
    crc32::crc32,
    plan::{ABSENT, ATTEND, GROUP, HEADER, Key, MAGIC, MAX_MODULES, SOFT, VERSION},
};

use crate::{
    kernel::{catalogue::Module, classes::expand},
    numbers::write_number,
    select::{Chosen, is_hardware},
};
use shape::{Shape, Take};

/// From so many aliases on, a shape is worth its bytes; below, more digits go into the key so that more aliases share one.
const SHARED: usize = 3;

/// The plan for `modules`, which are in loading order, with the names and aliases of those that are `known` only. The groups of a module
/// pack are numbered in the order in which they are met first.
pub fn encode(
    modules: &[Chosen],
    known: &[&Module],
    settings: &[(Key, Vec<u8>)],
) -> Result<Vec<u8>> {
    let (places, groups) = places(modules);
    let count = places.len() + groups.len() + known.len();
    ensure!(
        count <= MAX_MODULES,
        "{count} modules: a plan holds {MAX_MODULES} at most"
    );
    let mut module_section = Vec::new();
    for (number, chosen) in modules.iter().enumerate() {
        for (place, group) in groups.iter().enumerate() {
            if group.first != number {
                continue;
            }
            module_section.push(GROUP | if group.attends { ATTEND } else { 0 });
            write_string(&mut module_section, group_name(place).as_bytes());
            // Neither options nor dependencies.
            module_section.extend([0, 0]);
        }
        write_module(&mut module_section, number, chosen, &places, &groups)
            .with_context(|| format!("module {}", chosen.module.name))?;
    }
    for module in known {
        module_section.push(ABSENT);
        write_string(&mut module_section, module.kernel_name().as_bytes());
        // Neither options nor dependencies.
        module_section.extend([0, 0]);
    }
    let numbers = places.iter().copied();
    let behind = modules.len() + groups.len()..;
    let alias_section = aliases(numbers.chain(behind), modules, known)?;

    let mut file = Vec::new();
    file.extend(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.resize(HEADER, 0);
    file.extend(&module_section);
    file.extend(&alias_section);
    for (key, value) in settings {
        file.push(*key as u8);
        write_string(&mut file, value);
    }
    let len = file.len();
    let mut field = |offset: usize, value: usize| -> Result<()> {
        let value = u32::try_from(value).context("the plan takes more than 4 GiB")?;
        file[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        Ok(())
    };
    field(12, len)?;
    field(20, module_section.len())?;
    field(24, alias_section.len())?;
    let crc = crc32(&file[20..]);
    file[16..20].copy_from_slice(&crc.to_le_bytes());
    Ok(file)
}

fn write_string(into: &mut Vec<u8>, bytes: &[u8]) {
    write_number(into, bytes.len() as u64);
    into.extend(bytes);
}

/// How the log and reports name a group of the module pack.
pub fn group_name(number: usize) -> String {
    format!("group_{number}")
}

/// A group of the module pack.
struct Group {
    /// The first of its modules: the group stands before it.
    first: usize,
    /// A console can hang on one of its modules.
    attends: bool,
}

/// The places of modules in the plan, and the groups, in the order of the pack, which stand between them.
fn places(modules: &[Chosen]) -> (Vec<usize>, Vec<Group>) {
    let (mut places, mut groups) = (Vec::new(), Vec::<Group>::new());
    for (first, chosen) in modules.iter().enumerate() {
        match chosen.group {
            Some(number) if number == groups.len() => groups.push(Group {
                first,
                attends: chosen.attends,
            }),
            Some(number) => groups[number].attends |= chosen.attends,
            None => {}
        }
        places.push(first + groups.len());
    }
    (places, groups)
}

/// The module with this number.
fn write_module(
    into: &mut Vec<u8>,
    number: usize,
    chosen: &Chosen,
    places: &[usize],
    groups: &[Group],
) -> Result<()> {
    into.push(chosen.flags());
    write_string(into, chosen.module.kernel_name().as_bytes());
    write_string(into, chosen.options.as_bytes());
    // A group stands right before the first of its modules.
    let group = chosen
        .group
        .map(|group| places[groups[group].first] as u16 - 1);
    let mut needed = Vec::from_iter(group);
    for (other, soft) in &chosen.dependencies {
        ensure!(*other < number, "it stands before what it depends on");
        needed.push(places[*other] as u16 | if *soft { SOFT } else { 0 });
    }
    into.push(u8::try_from(needed.len()).context("more than 254 dependencies")?);
    for number in needed {
        into.extend(number.to_le_bytes());
    }
    Ok(())
}

/// The keys of each module, by shape.
type Groups = BTreeMap<Vec<u8>, BTreeMap<usize, BTreeSet<u64>>>;

/// The aliases of modules, which have these places in the plan.
fn aliases(
    places: impl Iterator<Item = usize>,
    modules: &[Chosen],
    known: &[&Module],
) -> Result<Vec<u8>> {
    let mut shapes = Vec::new();
    let chosen = modules.iter().map(|chosen| (chosen.module, true));
    let known = known.iter().map(|module| (*module, false));
    for (number, (module, is_chosen)) in places.zip(chosen.chain(known)) {
        let mut add = |alias: &str| -> Result<()> {
            for alias in expand(alias)? {
                let shape = |take| Shape::of(&alias, take);
                shapes.push((number, shape(Take::Identity)?, shape(Take::All)?));
            }
            Ok(())
        };
        for alias in &module.info.aliases {
            if is_chosen || is_hardware(alias) {
                add(alias).with_context(|| format!("module {}", module.name))?;
            }
        }
    }
    let mut users: HashMap<&[u8], usize> = HashMap::new();
    for (_, shape, _) in &shapes {
        *users.entry(&shape.pattern).or_default() += 1;
    }
    let mut groups = Groups::new();
    for (number, narrow, wide) in &shapes {
        let shape = if users[narrow.pattern.as_slice()] < SHARED {
            wide
        } else {
            narrow
        };
        groups
            .entry(shape.pattern.clone())
            .or_default()
            .entry(*number)
            .or_default()
            .insert(shape.key);
    }
    let mut section = Vec::new();
    for (pattern, sets) in groups {
        let mut body = Vec::new();
        let mut before = 0;
        for (number, keys) in sets {
            write_number(&mut body, (number - before) as u64);
            before = number;
            write_string(&mut body, &differences(&keys));
        }
        write_string(&mut section, &pattern);
        write_string(&mut section, &body);
    }
    Ok(section)
}

/// Each key counted from the one before.
fn differences(keys: &BTreeSet<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = 0;
    for key in keys {
        write_number(&mut bytes, key - before);
        before = *key;
    }
    bytes
}
