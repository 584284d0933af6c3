//! Modules that hang or crash, that are for another kernel, or that are not there.

use std::time::Duration;

use xtask::lab::disk::Recipe;
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::Interface;

use crate::drivers::late;
use crate::harness::{Boot, Booted, see};
use crate::initrds::Wanted;
use crate::misbehaving::{CRASHES, HANGS};
use crate::others::{Content, Other};
use crate::reports;
use crate::{IMAGE, expect};

on_three_kernels! { linux_6_1_generic: dm_verity_missing }
on_three_kernels! { linux_6_12_cloud: hanging_and_crashing_drivers initrd_for_another_kernel }
on_three_kernels! { linux_7_2_cloud: hanging_driver_on_the_only_processor }

/// The line about a module in the report that was left for stage 2.
fn standing<'a>(booted: &'a Booted, module: &str) -> &'a str {
    let report = booted.report.files.get("/run/toehold/report");
    let report = report.expect("a report").lines();
    let start = format!("module {module}: ");
    let mut found = report.filter_map(|line| line.strip_prefix(&start));
    let standing = found
        .next()
        .unwrap_or_else(|| panic!("no {start}in {:#?}", booted.report.files));
    // For how long it has been loading, which depends on the machine.
    match standing.split_once(" (") {
        Some((standing, age)) => {
            let age = age.strip_suffix(" s)").map(str::parse::<u64>);
            assert!(matches!(age, Some(Ok(0..400))), "{age:?}");
            standing
        }
        None => standing,
    }
}

const BOTH: Wanted = Wanted {
    names: &[HANGS, CRASHES],
    misbehaving: &[HANGS, CRASHES],
    ..Wanted::DEMO
};

const CRASHED: &str = "its init function crashed";
const SLOW: &str = "takes long: not waited for";

/// They are the first to be loaded, and the disk is there.
fn hanging_and_crashing_drivers(kernel: Series) {
    let booted = Boot {
        kernel,
        initrd: Wanted {
            always: &[HANGS, CRASHES],
            ..BOTH
        },
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything_and_hanging_loaders(&booted, IMAGE, 1);
    let hangs = standing(&booted, HANGS);
    assert!(["loading", SLOW].contains(&hangs), "{hangs}");
    assert_eq!(standing(&booted, CRASHES), CRASHED);
    let line = format!("toehold: module {CRASHES}: {CRASHED}");
    assert!(booted.log.contains(&line), "{}", booted.log.tail(60));
}

/// Hardware asks for them. The hanging driver has the only place there is, and loses it; the disk is found when that is over.
fn hanging_driver_on_the_only_processor(kernel: Series) {
    let boot = Boot {
        kernel,
        initrd: BOTH,
        cpus: 1,
        ..Boot::default()
    };
    let booted = late(boot, 8);
    expect::everything_and_hanging_loaders(&booted, IMAGE, 1);
    for (module, words) in [(HANGS, SLOW), (CRASHES, CRASHED)] {
        assert_eq!(standing(&booted, module), words);
        let line = format!("toehold: module {module}: {words}");
        assert!(booted.log.contains(&line), "{}", booted.log.tail(60));
    }
}

/// Where the disk's own driver is built in, verification fails for what it depends on.
fn initrd_for_another_kernel(kernel: Series) {
    const WAIT: &str = "FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132";
    const VERITY: &str = "FAILED stage=verity step=module errno=- subject=dm-verity";
    let (other, interface, failure) = match kernel {
        Series::Cloud612 => (Series::Cloud72, Interface::Nvme, VERITY),
        Series::Cloud72 => (Series::Cloud612, Interface::Nvme, VERITY),
        _ => (Series::Cloud61, Interface::VirtioBlk, WAIT),
    };
    let outcome = Boot {
        kernel,
        initrd: Wanted {
            built_for: Some(other),
            ..Wanted::DEMO
        },
        interface,
        append: "rd.earlytimeout=3",
        ..Boot::default()
    }
    .fails(failure);
    if kernel == Series::Cloud612 {
        reports::WRONG_RELEASE.is_named(&outcome.log);
    }
    let [running, planned] =
        [kernel, other].map(|series| kernels::fetch(series).expect("a kernel").release);
    for line in [
        format!("toehold: kernel {running}, plan {planned}: rebuild the initrd"),
        "toehold: module dm_mod: ENOEXEC".to_owned(),
    ] {
        assert!(outcome.log.contains(&line), "{}", outcome.log.tail(60));
    }
}

fn dm_verity_missing(kernel: Series) {
    let outcome = Boot {
        kernel,
        initrd: Wanted {
            without: "dm_verity.ko",
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=module errno=ENOENT subject=dm-verity");
    reports::NO_VERITY.is_named(&outcome.log);
}

#[test]
fn a_group_that_is_needed_is_damaged() {
    let outcome = Boot {
        initrd: Wanted {
            damaged: "btrfs",
            ..Wanted::DEMO
        },
        recipe: Recipe::default(),
        ..Boot::default()
    }
    .fails("FAILED stage=usr step=module errno=- subject=fs-btrfs");
    reports::DAMAGED_GROUP.is_named(&outcome.log);
}

/// Hardware asks for a module in it, the controller of another disk; the boot waits for its own, and gets on without.
#[test]
fn a_group_that_is_not_needed_is_damaged() {
    let ready = Boot {
        kernel: Series::Generic61,
        initrd: Wanted {
            damaged: "ahci",
            ..Wanted::DEMO
        },
        interface: Interface::VirtioScsi,
        unplugged: true,
        before: vec![Other {
            interface: Interface::Ahci,
            ..Other::new(Content::Partitions(1))
        }],
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: module group_");
    running.plug(ready.number).expect("a disk plugged in");
    let booted = ready.stage2(running);
    expect::everything(&booted, IMAGE);
    let lines = booted.log.toehold();
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("module ")).collect();
    let [line] = lines[..] else {
        panic!("{lines:?}")
    };
    let group = line.strip_prefix("module group_");
    let number = group.and_then(|group| group.strip_suffix(": EBADMSG"));
    let number = number.unwrap_or_else(|| panic!("{line}"));
    assert_eq!(standing(&booted, &format!("group_{number}")), "EBADMSG");
    assert_ne!(standing(&booted, "ahci"), "loaded");
}

#[test]
fn driver_of_the_disk_missing() {
    let outcome = Boot {
        initrd: Wanted {
            without: "virtio_blk.ko",
            ..Wanted::DEMO
        },
        append: "rd.earlytimeout=8",
        ..Boot::default()
    }
    .fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
    reports::NO_FILE.is_named(&outcome.log);
}

/// A disk that comes and goes all the time does not keep the only slot for a driver that hangs; the wanted disk comes after that.
#[test]
fn hanging_driver_while_a_disk_comes_and_goes() {
    let ready = Boot {
        initrd: Wanted {
            // From its controller on the kernel tells of disks.
            always: &["virtio_scsi"],
            ..BOTH
        },
        interface: Interface::VirtioScsi,
        unplugged: true,
        after: vec![Other {
            interface: Interface::VirtioScsi,
            unplugged: true,
            ..Other::new(Content::Partitions(1))
        }],
        cpus: 1,
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: stage=modules done");
    let (other, mut times) = (ready.number + 1, 0);
    let line = format!("toehold: module {HANGS}: {SLOW}");
    while !running.log().contains(&line) {
        assert!(times < 30, "no {line}:\n{}", running.tail(40));
        times += 1;
        running.plug(other).expect("a disk plugged in");
        std::thread::sleep(Duration::from_millis(700));
        running.unplug(other).expect("a disk pulled out");
        std::thread::sleep(Duration::from_millis(700));
        running.catch_up();
    }
    assert!(times > 2, "the disk came {times} times only");
    running.plug(ready.number).expect("a disk plugged in");
    let booted = ready.stage2(running);
    expect::everything_and_hanging_loaders(&booted, IMAGE, 1);
    let time = |text: &str| booted.log.time(text).expect("a time");
    let age = time(&line) - time("toehold: stage=kernel-fs done");
    assert!(age < Duration::from_secs(15), "it was waited for {age:?}");
}
