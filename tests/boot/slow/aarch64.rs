//! The same init on the other architecture: every way to boot on three kernels, and that it can say what is wrong.

use xtask::lab::disk::{Filesystem, Recipe};
use xtask::lab::kernels::Series;

use crate::harness::{Boot, see};
use crate::initrds::Wanted;
use crate::{netboot, rescue, root, series, usr};

/// Makes one test of each scenario and kernel.
macro_rules! on_aarch64 {
    ($($scenario:ident = $run:expr;)*) => {$(
        mod $scenario {
            use super::*;

            #[test]
            #[ignore = "slow: another processor is emulated"]
            fn linux_6_1() {
                $run(Series::Arm61);
            }

            #[test]
            #[ignore = "slow: another processor is emulated"]
            fn linux_6_12() {
                $run(Series::Arm612);
            }

            #[test]
            #[ignore = "slow: another processor is emulated"]
            fn linux_7_2() {
                $run(Series::Arm72);
            }
        }
    )*};
}

on_aarch64! {
    usr_on_btrfs = |kernel| usr(kernel, Filesystem::Btrfs, Filesystem::Squashfs);
    usr_on_ext4 = |kernel| usr(kernel, Filesystem::Ext4, Filesystem::Erofs);
    generations = series::generations;
    root_on_erofs = root::writable;
    root_on_squashfs = root::as_it_is;
    from_the_network = netboot::appended;
}

#[test]
fn demo() {
    usr(Series::Arm61, Filesystem::Squashfs, Filesystem::Squashfs);
}

/// A wrong root hash is told as on x86_64, and the rescue console answers on the board's own serial line.
#[test]
fn failure_and_rescue_console() {
    let ready = Boot {
        kernel: Series::Arm61,
        initrd: Wanted::PATIENT,
        recipe: Recipe {
            usr: Filesystem::Squashfs,
            stage2: Filesystem::Squashfs,
            ..Recipe::default()
        },
        append: "verity.usrhash=1111111111111111111111111111111111111111111111111111111111111111",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "FAILED stage=verity step=probe errno=EIO subject=/dev/vda2",
    );
    rescue::open(&mut running);
    rescue::ask(&mut running, "cat /proc/version", "Linux version 6.1.");
    running.send("poweroff\r").expect("a command");
    let outcome = running.finish().expect("QEMU");
    assert!(!outcome.timed_out, "{}", outcome.log.tail(10));
    assert!(outcome.report.is_none());
}
