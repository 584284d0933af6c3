//! Boots that must not succeed: each with its line, or with the kernel's panic where corruption is met later.

use std::time::Duration;

use xtask::lab::disk::{self, Disk, Recipe};

use crate::harness::{Boot, recipe};
use crate::initrds::Wanted;
use crate::reports;

/// Block 0 of /usr cannot be read through verity.
const PROBE: &str = "FAILED stage=verity step=probe errno=EIO subject=/dev/vda2";

fn verity(disk: &Disk) -> &disk::Verity {
    disk.verity.as_ref().expect("verity")
}

/// Words that ask for verification and do not say of what.
fn without_root_hash(disk: &Disk) -> String {
    let spec = format!("PARTUUID={}", disk.partuuid);
    format!("mount.usr=/dev/mapper/usr verity.usr={spec}")
}

#[test]
fn wrong_root_hash() {
    let outcome = Boot {
        words: |disk| {
            let hash = &verity(disk).root_hash;
            let wrong = if hash.starts_with('0') { '1' } else { '0' };
            disk.words()
                .replace(hash.as_str(), &format!("{wrong}{}", &hash[1..]))
        },
        ..Boot::default()
    }
    .fails(PROBE);
    reports::WRONG_ROOT_HASH.is_named(&outcome.log);
}

#[test]
fn first_block_corrupted() {
    let outcome = Boot {
        damage: Some(|disk| disk.flip(17).expect("damage")),
        ..Boot::default()
    }
    .fails(PROBE);
    reports::DATA_CHANGED.is_named(&outcome.log);
}

#[test]
fn tree_corrupted() {
    let outcome = Boot {
        // The root of the tree is the block after the superblock.
        damage: Some(|disk| disk.flip(verity(disk).hash_offset + 4096).expect("damage")),
        ..Boot::default()
    }
    .fails(PROBE);
    reports::TREE_CHANGED.is_named(&outcome.log);
}

#[test]
fn block_corrupted_that_only_stage2_reads() {
    let outcome = Boot {
        damage: Some(|disk| disk.flip(disk.bait().expect("bait") + 100).expect("damage")),
        append: "stage2.read=all",
        ..Boot::default()
    }
    .ready()
    .start()
    .finish()
    .expect("QEMU");
    let log = &outcome.log;
    assert!(log.contains(toehold_stage2::HELLO), "{}", log.tail(40));
    let panic = "Kernel panic - not syncing: dm-verity device corrupted";
    assert!(log.contains(panic), "{}", log.tail(40));
    assert!(outcome.report.is_none());
    assert!(!outcome.timed_out);
}

#[test]
fn image_missing() {
    let outcome = Boot {
        recipe: Recipe {
            image_path: "lib/elsewhere.img".to_owned(),
            ..recipe()
        },
        ..Boot::default()
    }
    .fails("FAILED stage=stage2 step=open errno=ENOENT subject=/sysusr/usr/lib/toehold/stage2.img");
    reports::NO_IMAGE.is_named(&outcome.log);
}

#[test]
fn no_such_partition() {
    let outcome = Boot {
        words: |disk| {
            let missing = "00000000-1111-4222-8333-444444444444";
            disk.words().replace(&disk.partuuid, missing)
        },
        append: "rd.earlytimeout=8",
        ..Boot::default()
    }
    .fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=00000000-1111-4222-8333-444444444444");
    reports::WRONG_IDENTIFIER.is_named(&outcome.log);
    // Every block device is listed, with all that could have named it.
    let disk = disk::make(&recipe()).expect("a disk");
    for partition in &disk.partitions {
        let line = outcome
            .log
            .toehold()
            .find(|line| line.starts_with(&format!("block device: vda{} ", partition.number)));
        let line = line.unwrap_or_else(|| panic!("no vda{}", partition.number));
        for field in [
            format!(" SIZE={} ", partition.bytes),
            format!(" PARTUUID={} ", partition.partuuid),
            format!(" PARTLABEL={} ", partition.partlabel),
            " UUID=7130".to_owned(),
            " LABEL=".to_owned(),
            " TYPE=".to_owned(),
        ] {
            assert!(line.contains(&field), "no {field} in {line}");
        }
    }
    let failed = outcome.log.time("toehold: FAILED").expect("a time");
    let began = outcome.log.time("toehold: stage=modules done");
    let waited = failed - began.expect("a time");
    // The kernel's log has a clock of its own.
    assert!(
        waited > Duration::from_millis(7900),
        "gave up after {waited:?}"
    );
    assert!(
        waited < Duration::from_secs(16),
        "gave up only after {waited:?}"
    );
}

#[test]
fn no_superblock() {
    let outcome = Boot {
        recipe: Recipe {
            verity: false,
            ..recipe()
        },
        words: |disk| {
            let hash = "5".repeat(64);
            format!("{} verity.usrhash={hash}", without_root_hash(disk))
        },
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=superblock errno=- subject=/dev/vda2");
    reports::NO_SUPERBLOCK.is_named(&outcome.log);
}

#[test]
fn verity_without_root_hash() {
    let outcome = Boot {
        words: without_root_hash,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=options errno=- subject=verity.usrhash");
    reports::NO_ROOT_HASH.is_named(&outcome.log);
}

/// The machine restarts as many seconds after a failure as the profile says.
#[test]
fn reboot_after_the_prompt() {
    let outcome = Boot {
        words: without_root_hash,
        initrd: Wanted {
            prompt_seconds: 4,
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=options errno=- subject=verity.usrhash");
    let announced = outcome.log.time("toehold: FAILED");
    let restarted = outcome
        .log
        .time("reboot: Restarting system")
        .expect("a time");
    let waited = restarted - announced.expect("a time");
    assert!(
        waited > Duration::from_millis(3900),
        "restarted after {waited:?}"
    );
    assert!(
        waited < Duration::from_secs(12),
        "restarted only after {waited:?}"
    );
}
