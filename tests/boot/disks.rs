//! Disks beside the right one: they hang, fail, take their time, or have no medium, and the boot is as fast as without them.

use std::time::Duration;

use xtask::lab::disk::Recipe;
use xtask::lab::qemu::{ALL, Interface};

use crate::harness::{Boot, Booted, recipe};
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

/// Boots with the others and without them, in turns, and compares the shortest times from the kernel's entry to stage 2. The machine has the controller of the others in both.
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
    let [without, with] = times;
    assert!(
        with.as_secs_f64() < without.as_secs_f64() * 1.10,
        "with: {with:?}, without: {without:?}"
    );
    last.expect("a boot")
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

a_test! { [also] one_that_fails_every_read unreadable() }
a_test! { [also] many_that_are_slow slow(32) }

fn unreadable() {
    no_later(|with| {
        by_label(vec![Other {
            unreadable: if with { |_| Some(ALL) } else { |_| None },
            ..other(Content::Twin)
        }])
    });
}

fn slow(count: usize) {
    no_later(|with| {
        let slow = Other {
            seconds: 2,
            ..other(Content::Partitions(2))
        };
        by_label(if with {
            vec![slow; count]
        } else {
            vec![other(Content::Partitions(1))]
        })
    });
}
