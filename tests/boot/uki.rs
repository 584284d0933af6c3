//! Machines that UEFI firmware starts from a unified kernel image on a disk's EFI system partition, and the disk that is preferred then.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::firmware::Variables;
use xtask::lab::qemu::{self, Drive};
use xtask::lab::tools;
use xtask::lab::uki::{self, Request};

use crate::harness::Boot;
use crate::identity::{WITH_OWN_ESP, booted_from};
use crate::initrds::Wanted;
use crate::misbehaving::WAITS;
use crate::others::Other;
use crate::{IMAGE, expect};

/// Makes the image in `folder`, signed or not.
pub fn make(kernel: Series, initrd: PathBuf, words: &str, signed: bool, folder: &Path) -> PathBuf {
    let built = uki::build(&Request {
        stub: uki::stub(kernel.arch()).expect("a stub"),
        vmlinuz: kernels::fetch(kernel).expect("a kernel").vmlinuz,
        initrd,
        cmdline: qemu::command_line(kernel.arch(), words),
        os_release: None,
        uname: None,
    });
    let mut image = built.expect("an image").image;
    if signed {
        let key = folder.join("key");
        let mut openssl = tools::OPENSSL.command().expect("openssl");
        openssl.args(["rsa", "-passin", "pass:snakeoil", "-in"]);
        openssl.arg(tools::OVMF_KEY.find().expect("OVMF"));
        tools::run(openssl.arg("-out").arg(&key)).expect("a key");
        let certificate = tools::OVMF_CERTIFICATE.find().expect("OVMF");
        image = uki::sign(&image, &key, &certificate).expect("a signature");
    }
    let file = folder.join("uki.efi");
    fs::write(&file, image).expect("a file");
    file
}

/// The firmware's variables in `folder`: a new machine's, or with Secure Boot on those of one that trusts the key for tests.
pub fn variables(kernel: Series, secure_boot: bool, folder: &Path) -> Variables {
    let path = folder.join("variables");
    if !secure_boot {
        return Variables::create(kernel.arch(), &path).expect("OVMF");
    }
    fs::copy(tools::OVMF_TRUSTING.find().expect("OVMF"), &path).expect("a copy");
    Variables::at(&path)
}

/// A disk whose EFI system partition has room for the image.
fn roomy() -> Recipe {
    Recipe {
        esp_bytes: 64 << 20,
        ..Recipe::default()
    }
}

/// Gives each of the drives, which are laid out as `disk` is, a copy in `folder` that has the image where firmware looks for one.
pub fn install(kernel: Series, image: &Path, disk: &Disk, drives: &mut [Drive], folder: &Path) {
    let place = uki::fallback_path(kernel.arch());
    for (number, drive) in drives.iter_mut().enumerate() {
        let disk = Disk {
            path: drive.file.clone(),
            ..disk.clone()
        };
        let path = folder.join(format!("with-uki-{number}.img"));
        let copy = disk.copy(&path).expect("a copy");
        copy.put_on_esp(image, place).expect("room on the ESP");
        drive.file = copy.path;
    }
}

/// Two disks that both answer and both verify, told apart by nothing but the PARTUUIDs of their EFI system partitions.
fn started_from(number: usize, kernel: Series) {
    let booted = Boot {
        kernel,
        // Both are there before verity is ready to try one.
        initrd: Wanted {
            names: &["efivarfs"],
            misbehaving: &[WAITS],
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
    let refused = running.wait_for("Access Denied");
    assert!(refused, "{}", running.tail(40));
    assert!(!running.log().contains("Linux version"));
}
