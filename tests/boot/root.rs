//! Mode `root`: the verified filesystem is the root itself.

use xtask::lab::disk::{Filesystem, Place, Recipe, Tree};
use xtask::lab::kernels::Series;

use crate::expect;
use crate::harness::{Boot, locked_to};
use crate::initrds::Wanted;

const ROOT: Wanted = Wanted {
    profile: "embedded.toml",
    ..Wanted::DEMO
};

fn boot(kernel: Series, filesystem: Filesystem) -> Boot {
    Boot {
        kernel,
        initrd: ROOT,
        recipe: Recipe {
            usr: filesystem,
            root: true,
            ..Recipe::default()
        },
        ..Boot::default()
    }
}

/// The embedded profile, with memory in tens of megabytes.
#[test]
fn in_little_memory() {
    let booted = Boot {
        memory: 80,
        append: "stage2.read=all -- single",
        ..boot(Series::Cloud61, Filesystem::Squashfs)
    }
    .stage2();
    expect::everything(&booted, "");
    assert_eq!(booted.report.argv, ["/sbin/init", "single"]);
    let read = booted.report.read.as_ref().expect("all files were read");
    assert_eq!(read.errors, [""; 0]);
    assert!(read.files > 304, "{read:?}");
}

/// `roothash=` alone, and `init=`; the image can be changed where an overlay lies above it.
pub fn writable(kernel: Series) {
    let booted = Boot {
        initrd: Wanted {
            names: &["overlay", "erofs"],
            settings: "root.overlay_size = \"8M\"",
            ..ROOT
        },
        recipe: Recipe {
            partuuids_from_root_hash: true,
            tree: Tree {
                place: Place::Partition,
                ..Tree::default()
            },
            ..boot(kernel, Filesystem::Erofs).recipe
        },
        words: |disk| disk.words_from_root_hash().expect("verity"),
        append: "init=/init",
        ..boot(kernel, Filesystem::Erofs)
    }
    .stage2();
    expect::everything(&booted, "");
    assert_eq!(booted.report.argv, ["/init"]);
}
on_three_kernels! { linux_6_12_cloud: writable }

/// A root without a layer above it.
pub fn as_it_is(kernel: Series) {
    let booted = boot(kernel, Filesystem::Squashfs).stage2();
    expect::everything(&booted, "");
}

fn other_filesystems(kernel: Series) {
    as_it_is(kernel);
    for filesystem in [Filesystem::Ext4, Filesystem::Btrfs] {
        let booted = Boot {
            initrd: Wanted {
                names: &["ext4", "btrfs"],
                ..ROOT
            },
            ..boot(kernel, filesystem)
        }
        .stage2();
        expect::everything(&booted, "");
    }
}
on_three_kernels! { linux_7_2_cloud: other_filesystems }

/// Without verity, where a profile does not ask for it.
#[test]
fn unverified() {
    let booted = Boot {
        initrd: Wanted {
            names: &["ext4"],
            settings: "verity.required = false",
            ..ROOT
        },
        recipe: Recipe {
            verity: false,
            ..boot(Series::Cloud61, Filesystem::Ext4).recipe
        },
        append: "rootfstype=ext4 rootflags=rw,noatime",
        ..boot(Series::Cloud61, Filesystem::Ext4)
    }
    .stage2();
    let root = booted.report.mount("/").expect("a root");
    assert_eq!(
        (root.fstype.as_str(), root.source.as_str()),
        ("ext4", "/dev/vda2")
    );
    assert!(booted.report.root_is_writable);
    assert!(booted.log.contains("toehold: /dev/vda2 is used unverified"));
}

/// A locked profile takes no other program, no other filesystem, and nothing unverified.
#[test]
fn locked() {
    for (append, line) in [
        (
            "init=/bin/sh",
            "stage=verity step=options errno=- subject=init",
        ),
        (
            "rootflags=rw",
            "stage=verity step=options errno=- subject=rootflags",
        ),
        (
            "root=/dev/vda2",
            "stage=verity step=options errno=- subject=root",
        ),
        (
            "roothash=",
            "stage=verity step=options errno=- subject=roothash",
        ),
    ] {
        let failed = format!("FAILED {line}");
        let boot = boot(Series::Cloud61, Filesystem::Squashfs);
        Boot {
            append,
            initrd: Wanted {
                settings: locked_to(&boot.recipe),
                ..ROOT
            },
            ..boot
        }
        .fails(&failed);
    }
}

/// A program that is not there is told before anything is given up.
#[test]
fn no_init() {
    let failed = "FAILED stage=switch-root step=exec errno=ENOENT subject=/sbin/missing";
    Boot {
        append: "init=/sbin/missing",
        ..boot(Series::Cloud61, Filesystem::Squashfs)
    }
    .fails(failed);
}
