//! Real kernels booted in QEMU: each scenario asserts what stage 2 reports, or the exact line of the failure.

use xtask::disk::{Disk, Filesystem, Recipe};
use xtask::kernels::Series;

use harness::Boot;
use initrds::Wanted;

/// Makes one test of each scenario and kernel.
macro_rules! on_three_kernels {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            use xtask::kernels::Series;

            #[test]
            fn linux_6_1_generic() {
                super::$scenario(Series::Generic61);
            }

            #[test]
            fn linux_6_12_cloud() {
                super::$scenario(Series::Cloud612);
            }

            #[test]
            fn linux_7_2_cloud() {
                super::$scenario(Series::Cloud72);
            }
        }
    )*};
}

#[path = "boot/drivers.rs"]
mod drivers;
#[path = "boot/expect.rs"]
mod expect;
#[path = "boot/failures.rs"]
mod failures;
#[path = "boot/faults.rs"]
mod faults;
#[path = "boot/firmware.rs"]
mod firmware;
#[path = "boot/harness.rs"]
mod harness;
#[path = "boot/identity.rs"]
mod identity;
#[path = "boot/initrds.rs"]
mod initrds;
#[path = "boot/keyboard.rs"]
mod keyboard;
#[path = "boot/locked.rs"]
mod locked;
#[path = "boot/memory.rs"]
mod memory;
#[path = "boot/misbehaving.rs"]
mod misbehaving;
#[path = "boot/modprobe.rs"]
mod modprobe;
#[path = "boot/modules.rs"]
mod modules;
#[path = "boot/oracle.rs"]
mod oracle;
#[path = "boot/others.rs"]
mod others;
#[path = "boot/parameters.rs"]
mod parameters;
#[path = "boot/policies.rs"]
mod policies;
#[path = "boot/pstore.rs"]
mod pstore;
#[path = "boot/reports.rs"]
mod reports;
#[path = "boot/rescue.rs"]
mod rescue;
#[allow(dead_code, reason = "there is a test that needs all of it")]
#[path = "parsers/samples.rs"]
mod samples;
#[path = "boot/signed.rs"]
mod signed;
#[path = "boot/specs.rs"]
mod specs;
#[allow(dead_code, reason = "there is a test that needs all of it")]
#[path = "hostile/tables.rs"]
mod tables;
#[allow(dead_code, reason = "there is a test that needs all of it")]
#[path = "hostile/target.rs"]
mod target;
#[path = "boot/trace.rs"]
mod trace;

/// Where the profile qemu.toml has the stage-2 image.
const IMAGE: &str = "lib/toehold/stage2.img";

fn usr(filesystem: Filesystem, stage2: Filesystem) {
    let booted = Boot {
        recipe: Recipe {
            usr: filesystem,
            stage2,
            ..Recipe::default()
        },
        append: "stage2.read=all",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let read = booted.report.read.as_ref().expect("all files were read");
    assert_eq!(read.errors, [""; 0]);
    // 300 small ones, two large ones, the bait, and the image.
    assert_eq!(read.files, 304);
    let image = booted.report.mount("/stage2/image");
    assert!(
        image.is_none_or(|mount| mount.fstype == stage2.to_string()),
        "{image:?}"
    );
}

#[test]
fn usr_on_btrfs() {
    usr(Filesystem::Btrfs, Filesystem::Squashfs);
}

#[test]
fn usr_on_ext4() {
    usr(Filesystem::Ext4, Filesystem::Squashfs);
}

#[test]
fn usr_on_squashfs() {
    usr(Filesystem::Squashfs, Filesystem::Erofs);
}

#[test]
fn usr_on_erofs_and_stage2_on_erofs() {
    usr(Filesystem::Erofs, Filesystem::Erofs);
}

#[test]
fn usr_without_verity() {
    let booted = Boot {
        recipe: Recipe {
            verity: false,
            ..Recipe::default()
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

/// Flatcar's command line, hash offset and image, on Debian's kernel for any hardware, with its 586 modules.
#[test]
fn flatcar_profile_on_the_generic_kernel() {
    const HASH_OFFSET: u64 = 1_065_345_024;
    const IMAGE: &str = "lib/flatcar/bootengine.img";
    fn words(disk: &Disk) -> String {
        let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
        format!(
            "mount.usr=/dev/mapper/usr verity.usr=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132 mount.usrflags=ro \
             verity.usrhash={root_hash}"
        )
    }
    let booted = Boot {
        kernel: Series::Generic61,
        initrd: Wanted {
            profile: "flatcar.toml",
            ..Wanted::DEMO
        },
        recipe: Recipe {
            usr_bytes: Some(HASH_OFFSET),
            image_path: IMAGE.to_owned(),
            ..Recipe::default()
        },
        words,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let offset = format!("{} sectors", HASH_OFFSET / 512 + 8);
    assert_eq!(booted.report.verity()["hash offset"], offset);
}
