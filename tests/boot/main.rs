//! Real kernels booted in QEMU: each scenario asserts what stage 2 reports, or the exact line of the failure.

use xtask::lab::disk::{Filesystem, Recipe};
use xtask::lab::kernels::Series;

use harness::{Boot, recipe};
use initrds::Wanted;

/// Makes one test of each scenario and kernel. Behind the name of a kernel are scenarios that the others see with `--all` only: one of each is enough
/// to show that it boots.
macro_rules! on_three_kernels {
    ($($scenario:ident)*) => { on_three_kernels! { [] [] [] $($scenario)* } };
    (linux_6_1_generic: $($scenario:ident)*) => { on_three_kernels! { [] [also] [also] $($scenario)* } };
    (linux_6_12_cloud: $($scenario:ident)*) => { on_three_kernels! { [also] [] [also] $($scenario)* } };
    (linux_7_2_cloud: $($scenario:ident)*) => { on_three_kernels! { [also] [also] [] $($scenario)* } };
    ($generic_6_1:tt $cloud_6_12:tt $cloud_7_2:tt $($scenario:ident)*) => {$(
        mod $scenario {
            use xtask::lab::kernels::Series;

            a_test! { $generic_6_1 linux_6_1_generic super::$scenario(Series::Generic61) }
            a_test! { $cloud_6_12 linux_6_12_cloud super::$scenario(Series::Cloud612) }
            a_test! { $cloud_7_2 linux_7_2_cloud super::$scenario(Series::Cloud72) }
        }
    )*};
}

/// A test. One with `[also]` before it runs with `--all` only.
macro_rules! a_test {
    ([] $name:ident $run:expr) => {
        #[test]
        fn $name() {
            $run;
        }
    };
    ([also] $name:ident $run:expr) => {
        #[test]
        #[ignore = "slow: others much like it run"]
        fn $name() {
            $run;
        }
    };
}

mod disks;
mod drivers;
mod expect;
mod failures;
mod faults;
mod flatcar;
mod handover;
mod harness;
mod identity;
mod initrds;
mod keyboard;
mod locked;
mod memory;
mod microcode;
mod misbehaving;
mod modprobe;
mod modules;
mod netboot;
mod oracle;
mod others;
mod parameters;
mod people;
mod policies;
mod pstore;
mod reports;
mod rescue;
mod root;
mod series;
mod signed;
mod slow;
mod specs;
mod trace;
mod uki;
mod words;

/// Where the profile qemu.toml has the stage-2 image.
const IMAGE: &str = "lib/toehold/stage2.img";

fn usr(kernel: Series, filesystem: Filesystem, stage2: Filesystem) {
    let booted = Boot {
        kernel,
        initrd: Wanted {
            names: &["xfs"],
            // What xfs does not tell.
            settings: "verity.hash_offset_fallback = 335544320",
            ..Wanted::DEMO
        },
        recipe: Recipe {
            usr: filesystem,
            usr_bytes: (filesystem == Filesystem::Xfs).then_some(320 << 20),
            stage2,
            ..Recipe::default()
        },
        append: "stage2.read=all",
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let read = booted.report.read.as_ref().expect("all files were read");
    assert_eq!(read.errors, [""; 0]);
    // 300 small ones, two large ones, the bait, and the image.
    assert_eq!(read.files, 304);
    if filesystem == Filesystem::Xfs {
        let offset = format!("{} sectors", (320 << 20) / 512 + 8);
        assert_eq!(booted.report.verity()["hash offset"], offset);
    }
    let image = booted.report.mount("/stage2/image");
    assert!(
        image.is_none_or(|mount| mount.fstype == stage2.to_string()),
        "{image:?}"
    );
}

fn usr_on_btrfs(kernel: Series) {
    usr(kernel, Filesystem::Btrfs, Filesystem::Squashfs);
}

fn usr_on_ext4(kernel: Series) {
    usr(kernel, Filesystem::Ext4, Filesystem::Squashfs);
}

fn usr_on_squashfs(kernel: Series) {
    usr(kernel, Filesystem::Squashfs, Filesystem::Erofs);
}

fn usr_on_xfs(kernel: Series) {
    usr(kernel, Filesystem::Xfs, Filesystem::Squashfs);
}

on_three_kernels! { linux_6_1_generic: usr_on_xfs }
on_three_kernels! { linux_6_12_cloud: usr_on_btrfs }
on_three_kernels! { linux_7_2_cloud: usr_on_ext4 usr_on_squashfs }

#[test]
fn usr_without_verity() {
    let booted = Boot {
        recipe: Recipe {
            verity: false,
            ..recipe()
        },
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn partition_by_label() {
    let booted = Boot {
        words: |disk| disk.words_for("PARTLABEL=USR-A"),
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn partition_by_path() {
    let booted = Boot {
        words: |disk| disk.words_for("/dev/vda2"),
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn partuuid_in_upper_case() {
    let booted = Boot {
        words: |disk| disk.words_for(&format!("PARTUUID={}", disk.partuuid.to_uppercase())),
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn primary_gpt_header_destroyed() {
    // Without the word `gpt` the kernel itself gives up on such a disk, and shows no partition.
    for append in ["", "gpt"] {
        let booted = Boot {
            damage: Some(|disk| disk.zero_primary_header().expect("damage")),
            append,
            ..Boot::default()
        }
        .stage2();
        expect::everything(&booted, IMAGE);
        let warning = "toehold: /dev/vda: primary GPT damaged, backup used: repair it with gdisk";
        assert!(booted.log.contains(warning), "{}", booted.log.tail(40));
    }
}

#[test]
fn arguments_and_environment_reach_stage2_unchanged() {
    let booted = Boot {
        append: "greeting=\"hello world\" systemd.log_level=debug -- one --two=2",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    assert_eq!(booted.report.argv, ["/init", "one", "--two=2"]);
    assert_eq!(
        booted.report.environment,
        ["HOME=/", "TERM=linux", "greeting=hello world"]
    );
}
