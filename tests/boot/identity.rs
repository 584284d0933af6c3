//! Several devices that answer to one name: which of them is taken, and that none is where nothing tells them apart.

use std::time::Duration;

use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::qemu::Interface;
use xtask::lab::tools;

use crate::harness::{Boot, Booted, recipe, see};
use crate::initrds::Wanted;
use crate::misbehaving::WAITS;
use crate::others::{Content, Other};
use crate::reports;
use crate::{IMAGE, expect};

/// A twin whose first block is another one.
const TAMPERED: Content = Content::Changed(|disk| disk.flip(17).expect("damage"));

/// Bytes from the tree's beginning in the partition: the superblock's block is before it.
fn tree(disk: &Disk) -> u64 {
    disk.verity.as_ref().expect("verity").hash_offset + 4096
}

/// Checks the boot, and that verity verifies the partition with this node.
pub fn booted_from(booted: &Booted, node: &str) {
    expect::everything(booted, IMAGE);
    assert_eq!(verified(booted), node, "{}", booted.log.tail(60));
}

/// The node of the data device in verity's table, which has its number, going by the report that the init left.
pub fn verified(booted: &Booted) -> String {
    let table = &booted.report.dmsetup_table.stdout;
    let number = table.split(' ').nth(4).expect("a table");
    let report = &booted.report.files["/run/toehold/report"];
    let found = report.lines().find_map(|line| {
        let (node, rest) = line.strip_prefix("block device: ")?.split_once(' ')?;
        rest.starts_with(&format!("{number} ")).then_some(node)
    });
    format!("/dev/{}", found.expect("its device"))
}

/// A machine that meets its disks one after the other, in the order in which it has them.
fn in_order() -> Boot {
    Boot {
        cpus: 1,
        ..Boot::default()
    }
}

#[test]
fn tampered_twin_is_met_first() {
    let booted = Boot {
        before: vec![Other::new(TAMPERED)],
        ..in_order()
    }
    .stage2();
    booted_from(&booted, "/dev/vdb2");
}

#[test]
fn tampered_twin_is_met_second() {
    let booted = Boot {
        after: vec![Other::new(TAMPERED)],
        ..in_order()
    }
    .stage2();
    booted_from(&booted, "/dev/vda2");
}

/// Whatever is wrong with those before it, the good one is found.
#[test]
fn tampered_in_every_way_and_one_good() {
    let ways: [fn(&Disk); 5] = [
        |disk| disk.flip(17).expect("damage"),
        |disk| disk.flip(tree(disk)).expect("damage"),
        // The superblock's signature, its salt's length, and its number of blocks.
        |disk| disk.flip(tree(disk) - 4096).expect("damage"),
        |disk| disk.flip(tree(disk) - 4096 + 80).expect("damage"),
        |disk| disk.flip(tree(disk) - 4096 + 76).expect("damage"),
    ];
    let booted = Boot {
        before: ways.map(|way| Other::new(Content::Changed(way))).to_vec(),
        ..in_order()
    }
    .stage2();
    booted_from(&booted, "/dev/vdf2");
}

/// A dozen disks with tables that make little sense, most of which say that they have the wanted partition: it is the one that
/// is verified.
#[test]
fn among_hostile_tables() {
    for seed in [100, 200, 300u64] {
        let hostile = |number| Other::new(Content::Hostile(seed + number));
        let booted = Boot {
            before: (0..12).map(hostile).collect(),
            ..in_order()
        }
        .stage2();
        booted_from(&booted, "/dev/vdm2");
        let tried = booted.log.contains("toehold: not taken: ");
        assert!(tried, "no other disk had it: {}", booted.log.tail(60));
    }
}

/// An initrd whose verity is not ready before a disk was there for four seconds: `settings` say which.
fn slow_verity(settings: &'static str) -> Wanted {
    Wanted {
        misbehaving: &[WAITS],
        settings,
        ..Wanted::DEMO
    }
}

/// Both are on one controller, one from the start, the other one put in while verity is not ready yet.
fn plugged_in_later(boot: Boot, later: usize) -> Booted {
    let ready = Boot {
        initrd: slow_verity("modules.options.toehold_waits = 'device=/dev/sda2'"),
        interface: Interface::VirtioScsi,
        cpus: 2,
        ..boot
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: stage=device done");
    running.plug(later).expect("a disk plugged in");
    ready.stage2(running)
}

#[test]
fn tampered_first_and_good_one_plugged_in_later() {
    let booted = plugged_in_later(
        Boot {
            unplugged: true,
            before: vec![Other {
                interface: Interface::VirtioScsi,
                ..Other::new(TAMPERED)
            }],
            ..Boot::default()
        },
        1,
    );
    booted_from(&booted, "/dev/sdb2");
}

#[test]
fn good_first_and_tampered_one_plugged_in_later() {
    let booted = plugged_in_later(
        Boot {
            after: vec![Other {
                interface: Interface::VirtioScsi,
                unplugged: true,
                ..Other::new(TAMPERED)
            }],
            ..Boot::default()
        },
        1,
    );
    booted_from(&booted, "/dev/sda2");
}

/// A twin that the loader tells apart: its EFI system partition has a PARTUUID of its own.
const OWN_ESP: &str = "0A1B2C3D-1111-4222-8333-0A1B2C3D4E5F";
pub const WITH_OWN_ESP: Content = Content::Changed(|disk| {
    let mut sgdisk = tools::SGDISK.command().expect("sgdisk");
    sgdisk.arg(format!("--partition-guid=1:{OWN_ESP}"));
    tools::run(sgdisk.arg(&disk.path)).expect("another PARTUUID");
});

#[test]
fn both_valid() {
    let booted = Boot {
        initrd: slow_verity("modules.options.toehold_waits = 'device=/dev/vda2'"),
        after: vec![Other::new(WITH_OWN_ESP)],
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    booted_from(&booted, "/dev/vda2");
    let line = "toehold: several devices answer: /dev/vda2 taken (first to verify)";
    assert!(booted.log.contains(line), "{}", booted.log.tail(40));
}

/// Nothing tells which of them is right: refused, both listed, so that a person can choose by path.
#[test]
fn both_without_verity() {
    let outcome = Boot {
        recipe: Recipe {
            verity: false,
            ..recipe()
        },
        before: vec![Other::new(Content::Twin)],
        ..Boot::default()
    }
    .fails("FAILED stage=device step=ambiguous errno=- subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
    reports::SAME_IDENTIFIERS.is_named(&outcome.log);
    for node in ["vda2", "vdb2"] {
        let line = outcome
            .log
            .toehold()
            .find(|line| line.starts_with(&format!("block device: {node} ")));
        let line = line.unwrap_or_else(|| panic!("no {node}:\n{}", outcome.log.tail(40)));
        for field in [
            "SIZE=",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
            "PARTLABEL=USR-A",
            "UUID=",
            "TYPE=ext4",
        ] {
            assert!(line.contains(field), "no {field} in {line}");
        }
    }
}

/// The disk goes while verity is not ready yet, and `comes_back` or not.
fn disappearing(append: &'static str) -> (crate::harness::Ready, xtask::lab::qemu::Running) {
    let ready = Boot {
        initrd: slow_verity("modules.options.toehold_waits = 'device=/dev/sda2'"),
        interface: Interface::VirtioScsi,
        append,
        cpus: 2,
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: stage=device done");
    running.unplug(ready.number).expect("a disk pulled out");
    (ready, running)
}

#[test]
fn disk_disappears_and_comes_back() {
    let (ready, mut running) = disappearing("");
    std::thread::sleep(Duration::from_secs(6));
    if let Err(error) = running.plug(ready.number) {
        panic!("{error}:\n{}", running.finish().expect("QEMU").log.tail(60));
    }
    expect::everything(&ready.stage2(running), IMAGE);
}

#[test]
fn disk_disappears_for_good() {
    let (ready, running) = disappearing("rd.earlytimeout=40");
    ready.fails(
        running,
        "FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
    );
}
