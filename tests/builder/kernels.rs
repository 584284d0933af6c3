//! The ready profiles on Debian's kernels, and what their modules ask for when they run.

use std::collections::BTreeSet;

use object::{Object, ObjectSymbol};
use toehold::format::plan::{GROUP, Key, Module, Plan};

use super::lookups::check_lookups;
use builder::{
    archive::compress,
    initrd::{Decision, kernel_config},
    kernel::{
        catalogue::{Catalogue, Found, folded},
        modinfo,
    },
    profile::{Modules, Pack, Profile},
    select::{Chosen, Rank, Selection, requests, resolve},
};
use xtask::lab::{
    kernels::{self, Series},
    paths,
};

pub fn profile(name: &str) -> Profile {
    Profile::read(&paths::root().join("xtask/profiles").join(name)).unwrap()
}

fn catalogue(series: Series) -> Catalogue {
    Catalogue::read(&kernels::fetch(series).unwrap().modules_dir).unwrap()
}

/// What a profile with nothing but these names would take.
fn names<'a>(catalogue: &'a Catalogue, names: &[&str]) -> Selection<'a> {
    let rules = Modules {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Modules::default()
    };
    resolve(catalogue, &rules).unwrap()
}

#[test]
fn flatcar_profile_on_the_generic_kernel() {
    let catalogue = catalogue(Series::Generic61);
    let profile = profile("flatcar.toml");
    let Decision {
        selection, plan, ..
    } = Decision::make(&catalogue, &profile, None, None).unwrap();
    assert!(
        (550..650).contains(&selection.modules.len()),
        "{} modules",
        selection.modules.len()
    );
    assert_eq!(selection.warnings, Vec::<String>::new());
    let packed = compress::zstd(&plan).unwrap().len();
    assert!(packed <= 20_480, "the plan takes {packed} bytes as zstd");

    let read = Plan::parse(&plan).unwrap();
    let groups: Vec<usize> = read.groups_of_pack().collect();
    let count = groups.len() + selection.modules.len() + selection.known.len();
    assert_eq!(read.modules().count(), count);
    let modules: Vec<_> = files(&read).collect();
    for (module, chosen) in modules.iter().zip(&selection.modules) {
        assert_eq!(module.name, chosen.module.kernel_name().as_bytes());
        assert_eq!(module.flags, chosen.flags());
        let group = chosen.group.map(|group| (groups[group], false));
        let others = chosen.dependencies.iter();
        let others = others.map(|(number, is_soft)| (modules[*number].number, *is_soft));
        assert_eq!(
            module.dependencies().collect::<Vec<_>>(),
            group.into_iter().chain(others).collect::<Vec<_>>()
        );
    }
    for (key, value) in profile.settings(catalogue.release().unwrap()) {
        assert_eq!(read.setting(key), Some(value.as_slice()), "{key:?}");
    }
    assert_eq!(read.text(Key::Suffix), b".ko");
    check_lookups(&plan, &selection.modules);
}

#[test]
fn console_drivers_come_last_and_nothing_that_leads_to_a_disk_is_among_them() {
    let catalogue = catalogue(Series::Generic61);
    let profile = profile("flatcar.toml");
    let selection = resolve(&catalogue, &profile.modules).unwrap();
    assert!(selection.modules.is_sorted_by_key(|chosen| chosen.rank));
    let rank = |name: &str| {
        let mut modules = selection.modules.iter();
        modules
            .find(|chosen| chosen.module.name == name)
            .unwrap()
            .rank
    };
    for name in [
        "btrfs",
        "raid6_pq",
        "crc32c_generic",
        "dm-verity",
        "sha256-ssse3",
        "loop",
    ] {
        assert_eq!(rank(name), Rank::Always, "{name}");
    }
    for name in [
        "ahci",
        "xhci-pci",
        "ehci-pci",
        "usb-storage",
        "sdhci-pci",
        "mptspi",
    ] {
        assert_eq!(rank(name), Rank::Hardware, "{name}");
    }
    for name in ["hv_vmbus", "hv_storvsc", "nvme", "virtio_blk", "virtio_pci"] {
        assert_eq!(rank(name), Rank::Direct, "{name}");
    }
    // wmi is asked for by nothing but keyboards.
    for name in [
        "hid",
        "usbhid",
        "hyperv-keyboard",
        "virtio_console",
        "ftdi_sio",
        "wmi",
    ] {
        assert_eq!(rank(name), Rank::Console, "{name}");
    }
}

/// What is a module, and no group of them.
pub fn files<'a>(plan: &Plan<'a>) -> impl Iterator<Item = Module<'a>> {
    plan.modules().filter(|module| module.flags & GROUP == 0)
}

/// One test for all kernels, so that each is read once.
#[test]
fn ready_profiles_on_every_kernel() {
    for series in &Series::ALL {
        let catalogue = catalogue(*series);
        let config = kernel_config(None, &catalogue.directory).unwrap();
        for name in ["flatcar.toml", "qemu.toml", "cloud.toml", "embedded.toml"] {
            let mut profile = profile(name);
            profile.modules.pack = Pack::Always;
            let decide = |profile: &Profile| {
                Decision::make(&catalogue, profile, config.as_ref(), None).unwrap()
            };
            let decision = decide(&profile);
            let modules = &decision.selection.modules;
            let plan = Plan::parse(&decision.plan).unwrap();
            let groups: Vec<usize> = plan.groups_of_pack().collect();
            for (module, chosen) in files(&plan).zip(modules) {
                assert!(
                    chosen
                        .group
                        .is_some_and(|group| module.is_in(groups[group]))
                );
            }
            let file = &modules[0].module.path;
            let packed = compress::Compression::None;
            assert_eq!(decision.packing.compression, packed, "{}", file.display());
            assert!(decision.packing.in_groups);
            // Without the module pack they are as the kernel decompresses them.
            profile.modules.pack = Pack::None;
            let in_files = decide(&profile);
            let plan = Plan::parse(&in_files.plan).unwrap();
            assert_eq!(plan.groups_of_pack().count(), 0);
            let able = config.as_ref().and_then(|config| config.decompresses());
            let want = able.unwrap_or(compress::Compression::None);
            assert_eq!(in_files.packing.compression, want, "{}", file.display());
            assert!(!in_files.packing.in_groups);
            // Flatcar's has much that goes over a network, and behind readers of cards there are other buses; what every boot needs is
            // of interest here.
            let modules = modules.iter();
            let is_for_disks = ["qemu.toml", "cloud.toml"].contains(&name);
            assert_requests_are_known(
                &catalogue,
                modules.filter(|chosen| is_for_disks || chosen.rank == Rank::Always),
            );
        }
        let filesystems = [
            "fs-btrfs",
            "fs-ext4",
            "fs-erofs",
            "fs-squashfs",
            "fs-xfs",
            "overlay",
            "dm-verity",
        ];
        let selection = names(&catalogue, &filesystems);
        assert_requests_are_known(&catalogue, selection.modules.iter());
    }
}

/// What the clouds' profile names is on some kernel here, so that none of its names is a slip.
#[test]
fn each_optional_module_of_the_clouds_is_somewhere() {
    let catalogues: Vec<Catalogue> = Series::ALL
        .iter()
        .map(|series| catalogue(*series))
        .collect();
    let optional = profile("cloud.toml").modules.optional;
    assert!(optional.len() > 20);
    for name in optional {
        let has = |catalogue: &Catalogue| catalogue.find(&name) != Found::Nothing;
        assert!(catalogues.iter().any(has), "{name}");
    }
}

#[test]
fn each_filesystem_brings_what_it_asks_for() {
    let catalogue = catalogue(Series::Generic61);
    for (name, want) in [
        (
            "fs-btrfs",
            &["crypto-crc32c", "xxhash64", "blake2b-256", "sha256"][..],
        ),
        ("fs-ext4", &["crypto-crc32c"]),
        ("fs-erofs", &["crc32c"]),
        ("fs-squashfs", &[]),
        ("dm-verity", &["crypto-sha256"]),
    ] {
        let selection = names(&catalogue, &[name]);
        let inside: BTreeSet<&str> = selection
            .modules
            .iter()
            .map(|chosen| chosen.module.name.as_str())
            .collect();
        for alias in want {
            let Found::Modules(found) = catalogue.find(alias) else {
                panic!("{alias} is no module here, so this shows nothing");
            };
            for number in found {
                let answer = catalogue.modules[number].name.as_str();
                assert!(
                    inside.contains(answer),
                    "{name} asks for {alias}, but {answer} is not there"
                );
            }
        }
        if want.is_empty() {
            assert_eq!(inside.len(), 1, "{inside:?}");
        }
    }
}

/// Modules whose requests need no answer on the way to a local disk, each with the reason.
const UNANSWERED: [(&str, &str); 3] = [
    (
        "crc64_rocksoft",
        "it computes the checksum itself without an answer",
    ),
    (
        "dm_mod",
        "it asks for the target of a table, which the profile names; its hash is for IMA's measurements",
    ),
    (
        "scsi_mod",
        "it asks for handlers of certain arrays' paths, and works without",
    ),
];

/// Every module that can ask the kernel for others says for which (a soft dependency), is known to the builder, or does not matter.
fn assert_requests_are_known<'a>(
    catalogue: &Catalogue,
    modules: impl Iterator<Item = &'a Chosen<'a>>,
) {
    for chosen in modules {
        let name = folded(&chosen.module.name);
        let known = !chosen.module.info.soft.is_empty()
            || !requests::of(&name).is_empty()
            || UNANSWERED.iter().any(|(unanswered, _)| *unanswered == name);
        if !known {
            let file = modinfo::load(&catalogue.directory.join(&chosen.module.path)).unwrap();
            let elf = object::File::parse(file.as_slice()).unwrap();
            let asks = elf
                .symbols()
                .filter(|symbol| symbol.is_undefined())
                .find_map(|symbol| {
                    let symbol = symbol.name().ok()?;
                    let asks = symbol == "__request_module" || symbol.starts_with("crypto_alloc_");
                    asks.then(|| symbol.to_owned())
                });
            assert_eq!(
                asks,
                None,
                "{name} of {} asks for modules: for which?",
                catalogue.directory.display()
            );
        }
    }
}
