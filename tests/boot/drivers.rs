//! Disks: on every interface, slow and late ones, and many of them.
//!
//! What a kernel has no driver for is in [`LACKING`], and looked up in its modules.

use std::time::Duration;

use builder::kernel::catalogue::{Catalogue, Found};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::Interface;

use crate::harness::{Boot, Booted, see};
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::{IMAGE, expect};

/// Interfaces that a kernel has no drivers for: Debian's cloud kernels are for virtual machines.
const LACKING: [(Series, Interface); 4] = [
    (Series::Cloud612, Interface::Usb),
    (Series::Cloud612, Interface::SdCard),
    (Series::Cloud72, Interface::Usb),
    (Series::Cloud72, Interface::SdCard),
];

/// What leads to a disk on an interface, all of it or nothing in a kernel.
fn drivers(interface: Interface) -> &'static [&'static str] {
    match interface {
        Interface::VirtioBlk => &["virtio_pci", "virtio_blk"],
        Interface::VirtioScsi => &["virtio_pci", "virtio_scsi", "sd_mod"],
        Interface::Ahci => &["ahci", "sd_mod"],
        Interface::Nvme => &["nvme"],
        Interface::Usb => &["xhci_pci", "usb_storage", "sd_mod"],
        Interface::SdCard => &["sdhci_pci", "mmc_block"],
    }
}

on_three_kernels! { virtio_blk the_clouds_profile }
on_three_kernels! { linux_6_1_generic: ahci usb_storage sd_card many_disks_at_once }
on_three_kernels! {
    linux_6_12_cloud: virtio_scsi disk_plugged_in_five_seconds_late wanted_disk_on_the_slower_controller
}
on_three_kernels! { linux_7_2_cloud: nvme many_disks_of_many_partitions }

fn virtio_blk(kernel: Series) {
    only_disk(kernel, Interface::VirtioBlk);
}

fn virtio_scsi(kernel: Series) {
    only_disk(kernel, Interface::VirtioScsi);
}

fn nvme(kernel: Series) {
    only_disk(kernel, Interface::Nvme);
}

fn ahci(kernel: Series) {
    only_disk(kernel, Interface::Ahci);
}

fn usb_storage(kernel: Series) {
    only_disk(kernel, Interface::Usb);
}

fn sd_card(kernel: Series) {
    only_disk(kernel, Interface::SdCard);
}

/// As it is, on what AWS has for disks.
fn the_clouds_profile(kernel: Series) {
    let booted = Boot {
        kernel,
        initrd: Wanted {
            profile: "cloud.toml",
            ..Wanted::DEMO
        },
        interface: Interface::Nvme,
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    found_on(&booted, Interface::Nvme);
}

/// The initrd has the drivers of all interfaces that the kernel has drivers for.
fn only_disk(kernel: Series, interface: Interface) {
    let modules_dir = kernels::fetch(kernel).expect("a kernel").modules_dir;
    let catalogue = Catalogue::read(&modules_dir).expect("the kernel's modules");
    let lacking = LACKING.contains(&(kernel, interface));
    if lacking {
        // sd_mod serves others, too.
        let first = drivers(interface)[0];
        assert_eq!(catalogue.find(first), Found::Nothing, "{first}");
        return;
    }
    for name in drivers(interface) {
        assert_ne!(catalogue.find(name), Found::Nothing, "{name}");
    }
    let booted = Boot {
        kernel,
        initrd: all_drivers(kernel),
        interface,
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    found_on(&booted, interface);
}

/// The initrd that has the drivers of every interface.
fn all_drivers(kernel: Series) -> Wanted {
    let names: &[&str] = match kernel {
        Series::Generic61 => &[
            "nvme",
            "xhci_pci",
            "usb_storage",
            "uas",
            "sdhci_pci",
            "mmc_block",
        ],
        _ => &["nvme"],
    };
    Wanted {
        names,
        ..Wanted::DEMO
    }
}

/// The device is the partition of the only disk on this interface.
fn found_on(booted: &Booted, interface: Interface) {
    let disk = &booted.disk;
    let node = interface.node(disk.partition);
    let line = format!("toehold: PARTUUID={} is {node}", disk.partuuid);
    assert!(booted.log.contains(&line), "{}", booted.log.tail(60));
}

fn wanted_disk_on_the_slower_controller(kernel: Series) {
    let (fast, slow) = match kernel {
        Series::Generic61 => (Interface::VirtioBlk, Interface::Usb),
        _ => (Interface::Nvme, Interface::Ahci),
    };
    let booted = Boot {
        kernel,
        initrd: all_drivers(kernel),
        interface: slow,
        before: vec![Other {
            interface: fast,
            ..Other::new(Content::Partitions(3))
        }],
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    found_on(&booted, slow);
}

/// Starts a machine without its disk, which it gets so long after all drivers were asked for.
pub fn late(boot: Boot, seconds: u64) -> Booted {
    let ready = Boot {
        interface: Interface::VirtioScsi,
        unplugged: true,
        ..boot
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: stage=modules done");
    std::thread::sleep(Duration::from_secs(seconds));
    running.plug(ready.number).expect("a disk plugged in");
    let booted = ready.stage2(running);
    let waited = booted.stage("device") - booted.stage("modules");
    assert!(
        waited > Duration::from_millis(seconds * 1000 - 500),
        "the device was there after {waited:?}"
    );
    booted
}

fn disk_plugged_in_five_seconds_late(kernel: Series) {
    let boot = Boot {
        kernel,
        cpus: 2,
        ..Boot::default()
    };
    expect::everything(&late(boot, 5), IMAGE);
}

/// The wanted disk is the last of 65 on its controller.
fn many_disks_of_many_partitions(kernel: Series) {
    let booted = Boot {
        kernel,
        interface: Interface::VirtioScsi,
        before: vec![
            Other {
                interface: Interface::VirtioScsi,
                ..Other::new(Content::Partitions(8))
            };
            64
        ],
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    expect_block_devices(&booted, 64 * 9);
}

/// 128 disks of 4 partitions (scsi_debug makes no more) come from memory, as fast as the kernel can tell of them.
fn many_disks_at_once(kernel: Series) {
    let booted = Boot {
        kernel,
        initrd: Wanted {
            names: &["scsi_debug"],
            always: &["scsi_debug"],
            settings: r#"modules.options.scsi_debug = "num_tgts=16 max_luns=8 num_parts=4 dev_size_mb=8""#,
            ..Wanted::DEMO
        },
        interface: Interface::VirtioScsi,
        cpus: 2,
        // An emulated machine among others needs long to make them.
        append: "rd.earlytimeout=300",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    // As many as 64 disks of 8 partitions are.
    expect_block_devices(&booted, 64 * 9);
}

fn expect_block_devices(booted: &Booted, at_least: usize) {
    let count = booted.report.block_devices.len();
    assert!(count >= at_least, "{count} block devices only");
}
