//! Every way to name the device, and every kind of disk to find it on.

use uuid::Uuid;
use xtask::lab::disk::{Disk, Place, Recipe, Table, Tree};
use xtask::lab::kernels::Series;
use xtask::lab::qemu::Interface;

use crate::harness::{Boot, Booted, recipe};
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::{IMAGE, expect};

/// Boots the disk by these words, which are all that name it.
fn boots(words: fn(&Disk) -> String) {
    boots_from(recipe(), words);
}

fn boots_from(recipe: Recipe, words: fn(&Disk) -> String) -> Booted {
    let booted = Boot {
        recipe,
        words,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    booted
}

/// The filesystem's own UUID, in capitals, and label; verity's device, which shows the same, is not taken for it.
#[test]
fn uuid() {
    boots(|disk| {
        let uuid = disk.uuid.as_ref().expect("a UUID").to_uppercase();
        disk.words_for(&format!("UUID={uuid}"))
    });
}

/// What is verified is read only, whatever the options say, as mount(8) would end up with.
#[test]
fn label() {
    let booted = boots_from(recipe(), |disk| {
        let words = disk.words_for(&format!("LABEL={}", disk.label.as_ref().expect("a label")));
        format!("{words} usrflags=noatime,rw")
    });
    let usr = booted.report.mount("/sysusr/usr").expect("/usr");
    assert_eq!(usr.options, ["ro", "noatime"]);
}

#[test]
fn link_by_partuuid() {
    boots(|disk| disk.words_for(&format!("/dev/disk/by-partuuid/{}", disk.partuuid)));
}

/// As udev escapes a hyphen that needs no escaping, and could escape any byte.
#[test]
fn link_by_partlabel() {
    boots(|disk| disk.words_for("/dev/disk/by-partlabel/USR\\x2dA"));
}

#[test]
fn link_by_uuid() {
    boots(|disk| {
        let uuid = disk.uuid.as_ref().expect("a UUID");
        disk.words_for(&format!("/dev/disk/by-uuid/{uuid}"))
    });
}

#[test]
fn link_by_label() {
    boots(|disk| {
        let label = disk.label.as_ref().expect("a label");
        disk.words_for(&format!("/dev/disk/by-label/{label}"))
    });
}

/// SCSI disks have the number 8.
#[test]
fn device_number() {
    let booted = Boot {
        interface: Interface::VirtioScsi,
        words: |disk| disk.words_for("8:2"),
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn partition_behind_another() {
    boots(|disk| {
        let first = &disk.partitions.first().expect("a partition").partuuid;
        disk.words_for(&format!("PARTUUID={first}/PARTNROFF=1"))
    });
}

/// The tree is named by the UUID in its superblock.
#[test]
fn tree_by_the_uuid_of_its_superblock() {
    let recipe = Recipe {
        tree: Tree {
            place: Place::Partition,
            uuid: Some(Uuid::from_u128(0x7130_c94a_0000_4000_8000_0000_0000_7ee0).to_string()),
            ..Tree::default()
        },
        ..recipe()
    };
    boots_from(recipe, |disk| {
        let verity = disk.verity.as_ref().expect("verity");
        format!(
            "mount.usr=/dev/mapper/usr systemd.verity_usr_data=PARTLABEL=USR-A systemd.verity_usr_hash=UUID={} usrhash={}",
            verity.uuid.as_ref().expect("a UUID"),
            verity.root_hash,
        )
    });
}

/// The root hash alone: its halves are the PARTUUIDs of data and tree.
#[test]
fn root_hash_alone() {
    let recipe = Recipe {
        tree: Tree {
            place: Place::Partition,
            ..Tree::default()
        },
        partuuids_from_root_hash: true,
        ..recipe()
    };
    boots_from(recipe, |disk| disk.words_from_root_hash().expect("verity"));
}

fn mbr() -> Recipe {
    Recipe {
        table: Table::Mbr,
        ..recipe()
    }
}

/// On a kernel that says no PARTUUID, and on one that does.
#[test]
fn mbr_partuuid() {
    for kernel in [Series::Cloud61, Series::Cloud72] {
        let booted = Boot {
            kernel,
            recipe: mbr(),
            ..Boot::default()
        }
        .stage2();
        assert_eq!(booted.disk.partuuid, "7130c94a-02");
        expect::everything(&booted, IMAGE);
    }
}

/// A partition inside an extended one, found by the tree on it: the fifth.
#[test]
fn tree_on_a_logical_partition() {
    let recipe = Recipe {
        tree: Tree {
            place: Place::Partition,
            ..Tree::default()
        },
        ..mbr()
    };
    boots_from(recipe, Disk::words);
}

fn large_sectors(interface: Interface) {
    let booted = Boot {
        recipe: Recipe {
            sector: 4096,
            ..recipe()
        },
        initrd: Wanted {
            names: &["nvme"],
            ..Wanted::DEMO
        },
        interface,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let node = interface.node(booted.disk.partition);
    let line = format!("toehold: PARTUUID={} is {node}", booted.disk.partuuid);
    assert!(booted.log.contains(&line), "{}", booted.log.tail(60));
}

#[test]
fn sectors_of_4096_bytes() {
    large_sectors(Interface::VirtioBlk);
}

#[test]
fn sectors_of_4096_bytes_on_nvme() {
    large_sectors(Interface::Nvme);
}

/// The wanted partition is one of 1,003, on the last disk.
#[test]
fn thousand_partitions() {
    let booted = Boot {
        before: vec![Other::new(Content::Partitions(250)); 4],
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let partitions = booted.report.block_devices.iter();
    // vda and vda1 to vda250, and so on: disks end in a letter.
    let is_partition = |name: &&String| name.starts_with("vd") && name.len() > 3;
    assert_eq!(partitions.filter(is_partition).count(), 1003);
}
