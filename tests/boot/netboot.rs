//! Network boot: /usr is an image in the initramfs, and what was appended to the initrd comes along.

use std::fs::File;
use std::os::unix::fs::FileExt;

use toehold_stage2::Loop;
use xtask::lab::disk::{Disk, Filesystem, Recipe};
use xtask::lab::kernels::Series;

use crate::expect;
use crate::harness::{Boot, Booted};
use crate::initrds::{Files, Wanted};

const MIB: usize = 1 << 20;
/// A large one, as Flatcar's is.
const LARGE: usize = 400 * MIB;

const NETBOOT: Wanted = Wanted {
    settings: "netboot.carry = [[\"/oem\", \"/usr/share/oem\"], \"/etc/machine\"]",
    ..Wanted::DEMO
};

/// The filesystem that is on the disk, and behind it nothing up to this length.
pub fn image(disk: &Disk, bytes: usize) -> Vec<u8> {
    let mut image = vec![0; bytes.max(disk.filesystem_bytes as usize)];
    let file = File::open(&disk.path).expect("a disk");
    let (content, _) = image.split_at_mut(disk.filesystem_bytes as usize);
    file.read_exact_at(content, disk.partition_offset)
        .expect("a filesystem");
    image
}

pub fn boot(kernel: Series, appended: fn(&Disk) -> Files) -> Boot {
    Boot {
        kernel,
        initrd: NETBOOT,
        recipe: Recipe {
            usr: Filesystem::Squashfs,
            verity: false,
            ..Recipe::default()
        },
        appended,
        words: |_| "flatcar.first_boot=1".to_owned(),
        ..Boot::default()
    }
}

/// /usr is on a loop device, and the image and what was appended are where they were.
fn expect_netboot(booted: &Booted, bytes: usize, config: &str) {
    let report = &booted.report;
    let usr = report.mount("/sysusr/usr").expect("/usr");
    assert_eq!(
        (usr.fstype.as_str(), usr.source.as_str()),
        ("squashfs", "/dev/loop0")
    );
    assert!(usr.options.contains(&"ro".to_owned()), "{usr:?}");
    let attached = |name: &str, file: &str| Loop {
        name: name.to_owned(),
        backing_file: file.to_owned(),
        read_only: true,
        autoclear: true,
    };
    let backing: Vec<&str> = report
        .loops
        .iter()
        .map(|own| own.backing_file.as_str())
        .collect();
    assert_eq!(backing.len(), 2, "{backing:?}");
    assert_eq!(
        report.loops[1],
        attached("loop1", "/sysusr/usr/lib/toehold/stage2.img")
    );
    assert_eq!(report.carried, Some(bytes as u64), "{backing:?}");
    expect::nothing_but(report, &["etc", "oem", "usr.squashfs"]);
    assert_eq!(report.files["/oem/config.ign"], config);
    assert_eq!(report.processes, []);
    assert!(!booted.log.contains("without verification"));
    booted.passed("netboot");
}

fn bytes(booted: &Booted) -> usize {
    booted.disk.filesystem_bytes as usize
}

/// An image of 400 MB, and a provider's files by their old name: what the initramfs held is there once, and no more.
#[test]
fn a_large_image_is_not_copied() {
    let booted = boot(Series::Cloud61, |disk| {
        vec![
            ("/usr.squashfs", image(disk, LARGE)),
            ("/usr/share/oem/config.ign", b"old".to_vec()),
        ]
    })
    .stage2();
    expect_netboot(&booted, LARGE, "old");
    let shared = booted.report.memory("Shmem") as usize / 1024;
    assert_eq!(shared, LARGE / MIB, "MiB of the initramfs");
    let memory = |field| booted.report.memory(field) as usize / 1024;
    let used = memory("MemTotal") - memory("MemAvailable");
    println!("{used} MiB are used with an image of {} MiB", LARGE / MIB);
    assert!(used < LARGE / MIB * 3 / 2, "{used} MiB");
}

/// An initramfs on ramfs, as it is where there is any `root=`; the newer name wins.
pub fn appended(kernel: Series) {
    let booted = Boot {
        append: "root=LABEL=ROOT",
        ..boot(kernel, |disk| {
            vec![
                ("/usr.squashfs", image(disk, 0)),
                ("/usr/share/oem/config.ign", b"old".to_vec()),
                ("/oem/config.ign", b"new".to_vec()),
                ("/etc/machine", b"1".to_vec()),
            ]
        })
    }
    .stage2();
    expect_netboot(&booted, bytes(&booted), "new");
}
on_three_kernels! { linux_7_2_cloud: appended }

/// A disk that is named is taken, whatever the initramfs holds.
#[test]
fn a_disk_is_preferred() {
    let booted = Boot {
        words: Disk::words,
        ..boot(Series::Cloud61, |disk| {
            vec![("/usr.squashfs", image(disk, 0))]
        })
    }
    .stage2();
    expect::everything(&booted, crate::IMAGE);
}

#[test]
fn no_image() {
    let failed = "FAILED stage=usr step=open errno=ENOENT subject=/usr.squashfs";
    boot(Series::Cloud61, |_| Vec::new()).fails(failed);
}
