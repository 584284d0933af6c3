//! Disks that cannot be read in places: what is said of them, and that a good one beside them is taken.

use std::ops::Range;

use xtask::lab::disk::Disk;
use xtask::lab::kernels::Series;
use xtask::lab::qemu::{ALL, Outcome};

use crate::harness::Boot;
use crate::identity::booted_from;
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::reports;
use crate::{IMAGE, expect};

/// 4096 bytes of the disk from `offset` in the partition on.
fn block(disk: &Disk, offset: u64) -> Option<Range<u64>> {
    let start = disk.partition_offset + offset;
    Some(start..start + 4096)
}

fn superblock(disk: &Disk) -> Option<Range<u64>> {
    block(disk, disk.verity.as_ref().expect("verity").hash_offset)
}

/// The root of the tree is the block after the superblock.
fn tree(disk: &Disk) -> Option<Range<u64>> {
    block(
        disk,
        disk.verity.as_ref().expect("verity").hash_offset + 4096,
    )
}

fn data(disk: &Disk) -> Option<Range<u64>> {
    block(disk, 0)
}

fn bait(disk: &Disk) -> Option<Range<u64>> {
    block(disk, disk.bait().expect("bait"))
}

fn unreadable(what: fn(&Disk) -> Option<Range<u64>>, line: &str) -> Outcome {
    Boot {
        unreadable: what,
        ..Boot::default()
    }
    .fails(line)
}

#[test]
fn superblock_unreadable() {
    unreadable(
        superblock,
        "FAILED stage=verity step=superblock errno=EIO subject=/dev/vda2",
    );
}

#[test]
fn tree_unreadable() {
    unreadable(
        tree,
        "FAILED stage=verity step=tree errno=EIO subject=/dev/vda2",
    );
}

#[test]
fn first_block_unreadable() {
    let outcome = unreadable(
        data,
        "FAILED stage=verity step=data errno=EIO subject=/dev/vda2",
    );
    reports::UNREADABLE.is_named(&outcome.log);
}

#[test]
fn twins_unreadable_in_places_and_one_good() {
    let twin = |what| Other {
        unreadable: what,
        ..Other::new(Content::Twin)
    };
    // The last one cannot be read at all.
    let whole = |_: &Disk| Some(ALL);
    let booted = Boot {
        before: vec![twin(superblock), twin(tree), twin(data), twin(whole)],
        cpus: 1,
        ..Boot::default()
    }
    .stage2();
    booted_from(&booted, "/dev/vde2");
}

/// What only stage 2 reads is an I/O error for stage 2, and nothing else.
#[test]
fn block_unreadable_that_only_stage2_reads() {
    let booted = Boot {
        unreadable: bait,
        append: "stage2.read=all",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let read = booted.report.read.expect("all files were read");
    let errors = ["/sysusr/usr/share/toehold/bait: Input/output error (os error 5)"];
    assert_eq!(read.errors, errors);
}

/// The profile asks for a panic when a block cannot be read.
const PANIC_ON_ERROR: Wanted = Wanted {
    settings: "verity.on_error = 'panic'",
    ..Wanted::DEMO
};

/// Linux 6.1's verity target cannot do that, and is not asked for it.
#[test]
fn panic_on_error_where_the_kernel_cannot() {
    let booted = Boot {
        initrd: PANIC_ON_ERROR,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let table = &booted.report.dmsetup_table.stdout;
    assert!(!table.contains("panic_on_error"), "{table}");
    let line = "toehold: panic-on-error: not in this kernel, left out";
    assert!(booted.log.contains(line), "{}", booted.log.tail(40));
}

#[test]
fn panic_on_error_where_the_kernel_can() {
    let boot = Boot {
        kernel: Series::Cloud612,
        initrd: PANIC_ON_ERROR,
        ..Boot::default()
    };
    let booted = boot.stage2();
    let table = booted.report.dmsetup_table.stdout.trim_end();
    assert!(table.contains(" panic_on_error"), "{table}");

    let outcome = Boot {
        unreadable: bait,
        append: "stage2.read=all",
        ..boot
    };
    let outcome = outcome.ready().start().finish().expect("QEMU");
    let panic = "Kernel panic - not syncing: dm-verity device has I/O error";
    assert!(outcome.log.contains(panic), "{}", outcome.log.tail(40));
    assert!(outcome.report.is_none());
}
