//! The plan against the real `depmod` and `modprobe`: the same modules for every alias, and dependencies in an order that works.

use std::{fs, path::Path, thread};

use toehold::format::plan::Plan;
use xtask::measure::modaliases;

use oracle::{Names, Oracle, fold, oracle};

mod brackets;
mod oracle;
mod samples;

/// Modaliases for one `modprobe` process.
const BATCH: usize = 500;

/// What the plan finds for each text is what modprobe finds, as far as it is in the initrd. Returns how many were found to be of
/// no module, of one, of several.
fn compare(oracle: &Oracle, texts: &[String]) -> [usize; 3] {
    let plan = Plan::parse(&oracle.plan).expect("a plan");
    let inside: Names = oracle.modules.iter().cloned().collect();
    let check = |texts: &[String]| {
        let (mut counts, mut mismatches) = ([0usize; 3], Vec::new());
        for batch in texts.chunks(BATCH) {
            for (text, want) in batch.iter().zip(oracle.modprobe.resolve(batch)) {
                let want: Names = want.intersection(&inside).cloned().collect();
                let found = oracle.resolve(&plan, text);
                if found != want {
                    mismatches.push(format!("{text}: modprobe {want:?}, plan {found:?}"));
                }
                counts[want.len().min(2)] += 1;
            }
        }
        (counts, mismatches)
    };
    let (first, second) = texts.split_at(texts.len() / 2);
    let ((counts, mut mismatches), (more, others)) = thread::scope(|scope| {
        let second = scope.spawn(|| check(second));
        (check(first), second.join().expect("no panic"))
    });
    mismatches.extend(others);
    assert!(
        mismatches.is_empty(),
        "{} of {} differ:\n{}",
        mismatches.len(),
        texts.len(),
        mismatches.join("\n")
    );
    let counts = [0, 1, 2].map(|place| counts[place] + more[place]);
    println!("modules found, none, one, several: {counts:?}");
    counts
}

/// Leaves out the names of modules outside of the initrd: modprobe takes such a module before it looks for aliases, but the
/// plan does not know that there is one.
fn without_foreign_names(oracle: &Oracle, mut texts: Vec<String>) -> Vec<String> {
    let index = oracle.modprobe.indexes().join("modules.dep");
    let index = fs::read_to_string(index).expect("the index of files");
    let mut foreign: Names = index
        .lines()
        .filter_map(|line| Path::new(line.split(':').next()?).file_name()?.to_str())
        .filter_map(|file| file.split('.').next().map(fold))
        .collect();
    for name in &oracle.modules {
        foreign.remove(name);
    }
    texts.retain(|text| !foreign.contains(&fold(text)));
    texts
}

/// Every alias of the kernel, in modaliases that match it or miss it by a character, and every class in one.
#[test]
fn the_aliases_of_a_kernel() {
    let oracle = oracle();
    let patterns = samples::patterns(&oracle.modprobe.indexes().join("modules.alias"));
    let mut texts = samples::from_patterns(&patterns);
    let classes = samples::from_classes(&patterns);
    assert!(classes.len() > 1_000, "{} of classes", classes.len());
    texts.extend(classes);
    let texts = without_foreign_names(oracle, texts);
    assert!(texts.len() > 30_000, "{} made", texts.len());
    let [none, one, several] = compare(oracle, &texts);
    assert!(none > 10_000 && one > 8_000 && several > 100);
}

/// As buses of real and virtual machines report themselves, whether or not a driver is there for them.
#[test]
fn the_devices_of_real_machines() {
    let oracle = oracle();
    let mut texts = modaliases::qemu();
    texts.extend(modaliases::many(5_000));
    texts.extend(["nothing", ":", "pci:", "pci:v", "usb:v", "hid:", "[]"].map(str::to_owned));
    let texts = without_foreign_names(oracle, texts);
    let [none, one, several] = compare(oracle, &texts);
    assert!(none > 1_000 && one > 1_000 && several > 100);
}

/// The initrd's modules by their names, as they are, with `-` for `_`, and with both.
#[test]
fn the_names_of_modules() {
    let oracle = oracle();
    let names = oracle.modules.iter().flat_map(|name| {
        let mixed = name.replacen('_', "-", 1);
        [name.clone(), name.replace('_', "-"), mixed]
    });
    let names: Vec<String> = names.collect();
    assert_eq!(compare(oracle, &names), [0, names.len(), 0]);
}

/// What modprobe would insert before a module stands before it in the plan and is loaded for it; and nothing else is but soft
/// dependencies: of several lists of those modprobe takes one only, and it does not know what modules request as they start.
#[test]
fn the_dependencies_that_modprobe_inserts() {
    let oracle = oracle();
    let plan = Plan::parse(&oracle.plan).expect("a plan");
    // Everything that a module needs, and what of that it cannot do without, by its place; the plan's order makes one pass enough.
    let mut needed: Vec<(Names, Names)> = Vec::new();
    let (mut mismatches, mut inserted) = (Vec::new(), 0);
    for (place, module) in plan.modules().enumerate() {
        let (mut all, mut hard) = (Names::new(), Names::new());
        for (dependency, soft) in module.dependencies() {
            let of_it = &needed[dependency];
            all.extend(of_it.0.iter().cloned());
            all.insert(oracle.modules[dependency].clone());
            if !soft {
                hard.extend(of_it.1.iter().cloned());
                hard.insert(oracle.modules[dependency].clone());
            }
        }
        let name = &oracle.modules[place];
        let order = oracle.modprobe.insertions(name);
        let own = order.iter().position(|other| other == name);
        let own = own.unwrap_or_else(|| panic!("modprobe does not insert {name}: {order:?}"));
        // What stands behind it are its soft dependencies of the other kind.
        let want: Names = order[..own].iter().cloned().collect();
        inserted += want.len();
        let before: Names = oracle.modules[..place].iter().cloned().collect();
        if !hard.is_subset(&want) || !want.is_subset(&all) || !want.is_subset(&before) {
            mismatches.push(format!("{name}: modprobe {want:?}, plan {all:?}"));
        }
        needed.push((all, hard));
    }
    assert!(
        mismatches.is_empty(),
        "{} of {} modules differ:\n{}",
        mismatches.len(),
        oracle.modules.len(),
        mismatches.join("\n")
    );
    assert!(inserted > oracle.modules.len(), "{inserted} dependencies");
    let btrfs = oracle.modules.iter().position(|name| name == "btrfs");
    let (of_btrfs, _) = &needed[btrfs.expect("btrfs is in the profile")];
    for name in ["blake2b_generic", "xxhash_generic", "crc32c_generic"] {
        assert!(of_btrfs.contains(name), "btrfs is loaded without {name}");
    }
}
