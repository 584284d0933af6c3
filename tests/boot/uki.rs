//! What a machine needs that UEFI firmware starts from a unified kernel image: the image, a disk with room for it, and the firmware's variables.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::firmware::Variables;
use xtask::lab::qemu::{self, Drive};
use xtask::lab::tools;
use xtask::lab::uki::{self, Request};

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
pub fn roomy() -> Recipe {
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
