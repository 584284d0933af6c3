//! Modules that hang or crash, that are for another kernel, or that are not there.

use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::Interface;

use crate::drivers::late;
use crate::harness::{Boot, Booted};
use crate::initrds::Wanted;
use crate::misbehaving::{CRASHES, HANGS};
use crate::reports;
use crate::{IMAGE, expect};

on_three_kernels! {
    hanging_and_crashing_drivers hanging_driver_on_the_only_processor
    initrd_for_another_kernel dm_verity_missing
}

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
            assert!(matches!(age, Some(Ok(0..60))), "{age:?}");
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
        format!(
            "toehold: this is Linux {running}, the modules are for {planned}: rebuild the initrd"
        ),
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
fn driver_of_the_disk_missing() {
    let outcome = Boot {
        initrd: Wanted {
            without: "virtio_blk.ko",
            ..Wanted::DEMO
        },
        append: "rd.earlytimeout=3",
        ..Boot::default()
    }
    .fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
    reports::NO_FILE.is_named(&outcome.log);
}
