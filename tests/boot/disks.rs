//! Disks beside the right one: they hang, fail, take their time, or have no medium, and the boot is as fast as without them.

use std::thread;
use std::time::Duration;

use xtask::lab::disk::Recipe;
use xtask::lab::kernels::Series;
use xtask::lab::qemu::{ALL, Interface};

use crate::harness::{Boot, Booted, recipe, see};
use crate::initrds::Wanted;
use crate::misbehaving::HANGS;
use crate::others::{Content, Other};

/// A machine whose /usr is named by what stands in its superblock: every partition has to be read.
fn by_label(others: Vec<Other>) -> Boot {
    Boot {
        recipe: Recipe {
            verity: false,
            ..recipe()
        },
        words: |_| "mount.usr=LABEL=toehold-usr".to_owned(),
        before: others,
        cpus: 2,
        ..Boot::default()
    }
}

fn other(content: Content) -> Other {
    Other {
        interface: Interface::VirtioScsi,
        ..Other::new(content)
    }
}

/// Boots with the others and without them, in turns, and compares the shortest times from the kernel's entry to stage 2. The machine has the
/// controller of the others in both.
fn no_later(boot: impl Fn(bool) -> Boot) -> Booted {
    let mut last = None;
    let mut times = [Duration::MAX; 2];
    for _ in 0..2 {
        for (time_of, with) in times.iter_mut().zip([false, true]) {
            let booted = boot(with).stage2();
            let time = booted.log.time_of_stage2().expect("the time of stage 2");
            *time_of = time.min(*time_of);
            last = Some(booted);
        }
    }
    not_late(times);
    last.expect("a boot")
}

/// On a quiet machine the difference is less than a tenth. Where others keep the processors busy it is more than that by chance, but never as much
/// as if anything had been waited for.
#[track_caller]
fn not_late([without, with]: [Duration; 2]) {
    println!("with: {with:?}, without: {without:?}");
    assert!(
        with.as_secs_f64() < without.as_secs_f64() * 1.5,
        "with: {with:?}, without: {without:?}"
    );
}

/// The same disk once more, but no partition of it can be read for two minutes.
fn hanging() -> Other {
    Other {
        seconds: 120,
        ..other(Content::Twin)
    }
}

#[test]
fn one_that_hangs() {
    let booted = no_later(|with| {
        by_label(vec![if with {
            hanging()
        } else {
            other(Content::Partitions(1))
        }])
    });
    assert!(
        booted.log.contains("LABEL=toehold-usr is /dev/vda2"),
        "{}",
        booted.log.tail(40)
    );
}

#[test]
fn one_that_hangs_is_named_in_the_report() {
    let boot = Boot {
        words: |_| "mount.usr=LABEL=elsewhere".to_owned(),
        append: "rd.earlytimeout=12",
        ..by_label(vec![hanging()])
    };
    let outcome =
        boot.fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=LABEL=elsewhere");
    for node in ["sda1", "sda2", "sda3"] {
        let line = format!("toehold: /dev/{node}: no answer");
        assert!(outcome.log.contains(&line), "{}", outcome.log.tail(40));
    }
    assert!(
        outcome.log.contains("block device: vda2 "),
        "{}",
        outcome.log.tail(40)
    );
}

a_test! { [also] a_usb_disk_that_comes_and_goes comes_and_goes() }
a_test! { [also] drives_without_a_medium without_medium() }
a_test! { [also] a_tray_that_stays_open open_tray() }
a_test! { [also] one_that_fails_every_read unreadable() }
a_test! { [also] many_that_are_slow slow() }

fn unreadable() {
    no_later(|with| {
        by_label(vec![Other {
            unreadable: if with { |_| Some(ALL) } else { |_| None },
            ..other(Content::Twin)
        }])
    });
}

fn slow() {
    no_later(|with| {
        let disk = Other {
            seconds: if with { 2 } else { 0 },
            ..other(Content::Partitions(2))
        };
        by_label(vec![disk; 32])
    });
}

/// An initrd for drives that take media.
const WITH_MEDIA: Wanted = Wanted {
    names: &["floppy", "sr_mod"],
    ..Wanted::DEMO
};

/// The right disk is found among them: their drivers are loaded before anything else could end the search.
fn without_medium() {
    let booted = no_later(|with| Boot {
        kernel: Series::Generic61,
        initrd: Wanted {
            always: WITH_MEDIA.names,
            ..WITH_MEDIA
        },
        empty_drives: with,
        ..by_label(vec![])
    });
    for drive in ["[sr0] scsi", "Floppy drive(s)"] {
        assert!(booted.log.contains(drive), "{}", booted.log.tail(60));
    }
}

/// A tray that a person has opened while the disk is waited for stays open, however often everything is looked at: opening the drive as a file
/// usually is opened would close it.
fn open_tray() {
    let ready = Boot {
        kernel: Series::Generic61,
        initrd: WITH_MEDIA,
        unplugged: true,
        interface: Interface::VirtioScsi,
        empty_drives: true,
        ..by_label(vec![])
    }
    .ready();
    let mut running = ready.start();
    // The driver's reset of its bus has closed the tray before.
    see(&mut running, "[sr0] scsi");
    running.open_tray().expect("an open tray");
    thread::sleep(Duration::from_secs(15));
    assert!(running.is_tray_open().expect("a tray"), "it was closed");
    running.plug(ready.number).expect("a disk plugged in");
    ready.stage2(running);
}

/// A USB disk that comes and goes every three seconds while the only processor has a driver that hangs.
fn comes_and_goes() {
    let time = |flaps: bool| {
        let ready = Boot {
            kernel: Series::Generic61,
            initrd: Wanted {
                always: &["xhci_pci", "usb_storage", HANGS],
                misbehaving: &[HANGS],
                ..Wanted::DEMO
            },
            after: vec![Other {
                interface: Interface::Usb,
                unplugged: true,
                ..Other::new(Content::Partitions(2))
            }],
            ..Boot::default()
        }
        .ready();
        let mut running = ready.start();
        let other = ready.number + 1;
        let mut is_in = false;
        while flaps && !running.log().contains("toehold: stage=usr done") {
            if is_in {
                running.unplug(other).expect("a disk pulled out");
            } else {
                running.plug(other).expect("a disk plugged in");
            }
            is_in = !is_in;
            thread::sleep(Duration::from_millis(1500));
            running.catch_up();
        }
        let booted = ready.stage2(running);
        let hangs = format!("toehold: module {HANGS}: takes long: not waited for");
        assert!(booted.log.contains(&hangs), "{}", booted.log.tail(60));
        let came = booted.log.contains("USB device number 2 using xhci_hcd");
        assert_eq!(came, flaps, "{}", booted.log.tail(60));
        booted.log.time_of_stage2().expect("the time of stage 2")
    };
    not_late([false, true].map(time));
}
