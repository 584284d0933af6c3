//! Machines that UEFI firmware starts from a unified kernel image on a disk's EFI system partition, and the disk that is preferred then.

use xtask::lab::kernels::Series;
use xtask::lab::qemu;

use crate::harness::{Boot, see};
use crate::identity::{WITH_OWN_ESP, booted_from};
use crate::initrds::Wanted;
use crate::misbehaving::WAITS;
use crate::others::Other;
use crate::uki::roomy;
use crate::{IMAGE, expect};

/// Two disks that both answer and both verify, told apart by nothing but the PARTUUIDs of their EFI system partitions.
fn started_from(number: usize, kernel: Series) {
    let booted = Boot {
        kernel,
        // Both are there before verity is ready to try one.
        initrd: Wanted {
            names: &["efivarfs"],
            misbehaving: &[WAITS],
            settings: "modules.options.toehold_waits = 'device=/dev/vdb2'",
            ..Wanted::DEMO
        },
        recipe: roomy(),
        after: vec![Other::new(WITH_OWN_ESP)],
        started_from: Some(number),
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    let node = ["/dev/vda2", "/dev/vdb2"][number];
    booted_from(&booted, node);
    let line = format!("toehold: several devices answer: {node} taken (boot loader's disk)");
    assert!(booted.log.contains(&line), "{}", booted.log.tail(40));
    let words = qemu::command_line(kernel.arch(), &booted.disk.words());
    let cmdline = &booted.report.cmdline;
    assert!(cmdline.starts_with(&words), "{cmdline}");
    let efivars = booted.report.mount("/sys/firmware/efi/efivars");
    assert_eq!(efivars, None, "the variables are still mounted");
    booted.passed("UKI");
}

#[test]
fn started_from_the_second_disk_linux_6_1() {
    started_from(1, Series::Cloud61);
}

#[test]
#[ignore = "slow: another kernel through UEFI"]
fn started_from_the_first_disk_linux_6_12() {
    started_from(0, Series::Cloud612);
}

#[test]
#[ignore = "slow: another kernel through UEFI"]
fn started_from_the_second_disk_linux_7_2() {
    started_from(1, Series::Cloud72);
}

#[test]
#[ignore = "slow: aarch64 through UEFI"]
fn started_on_aarch64() {
    let booted = Boot {
        kernel: Series::Arm61,
        recipe: roomy(),
        started_from: Some(0),
        cpus: 2,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    assert!(
        booted.log.contains("efi: EFI v"),
        "{}",
        booted.log.tail(200)
    );
    booted.passed("UKI");
}

/// Only the key for tests is trusted. Kernels of Debian's are signed with other ones; nothing but the image's signature lets them run.
fn secure_boot(signed: bool) -> Boot {
    Boot {
        recipe: roomy(),
        started_from: Some(0),
        secure_boot: Some(signed),
        cpus: 2,
        ..Boot::default()
    }
}

/// The kernel takes no module without a signature then: those in the initrd still have theirs.
#[test]
#[ignore = "slow: Secure Boot"]
fn signed_and_started_with_secure_boot() {
    let booted = secure_boot(true).stage2();
    expect::everything(&booted, IMAGE);
    for line in [
        "secureboot: Secure boot enabled",
        "Kernel is locked down from EFI Secure Boot",
    ] {
        assert!(booted.log.contains(line), "{}", booted.log.tail(200));
    }
}

#[test]
#[ignore = "slow: Secure Boot"]
fn unsigned_and_refused_with_secure_boot() {
    let ready = secure_boot(false).ready();
    let mut running = ready.machine.start().expect("QEMU");
    see(&mut running, "Access Denied");
    assert!(!running.log().contains("Linux version"));
}
