//! A profile that the builder makes inside a machine, of that machine: an initrd made from it boots the machine, and has no drivers of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use builder::arch::Arch;
use builder::initrd::{self, Request};
use builder::profile::{OnCorruption, Profile};
use xtask::lab::disk::{Filesystem, Recipe};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::{Interface, Source};
use xtask::lab::{build, cache, guest, paths, tools};
use xtask::release::packages::Packages;
use xtask::release::program;

use crate::harness::{Boot, Booted, recipe};
use crate::initrds::Wanted;
use crate::{IMAGE, expect};

/// The kernel of these machines.
const SERIES: Series = Series::Cloud61;

/// What stage 2 gets: the builder as it ships, the libraries that it is linked to, and the kernel's modules.
fn builder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(gather).clone()
}

fn gather() -> PathBuf {
    let packages = Packages::read().expect("the crates");
    let program = program::build(&packages).expect("the builder");
    let kernel = kernels::fetch(SERIES).expect("a kernel");
    let key = cache::key(&[&program, kernel.release.as_bytes()]);
    let folder = paths::output().join("tests/profile").join(key);
    let folder = cache::folder(&folder, |folder| {
        let folder = folder.join("files");
        let own = folder.join("usr/bin").join(program::NAME);
        put(&own, |own| fs::write(own, &program).map(drop));
        let mut executable = Command::new("chmod");
        tools::run(executable.arg("755").arg(&own))?;
        let listing = tools::capture(Command::new("ldd").arg(&own))?;
        for library in guest::libraries(&listing) {
            let inside = folder.join(library.strip_prefix("/")?);
            put(&inside, |inside| fs::copy(&library, inside).map(drop));
        }
        let modules = folder.join("lib/modules").join(&kernel.release);
        put(&modules, |_| Ok(()));
        let mut copy = Command::new("cp");
        tools::run(copy.arg("-r").arg(&kernel.modules_dir).arg(&modules))?;
        Ok(())
    });
    folder.expect("the files").join("files")
}

/// Has a file made whose folder may not be there yet.
fn put(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    make(path).expect("a file");
}

/// The profile that was made in the machine, without a complaint.
fn made(booted: &Booted) -> String {
    let output = booted.report.profile.as_ref().expect("the builder ran");
    assert_eq!((output.code, &*output.stderr), (Some(0), ""));
    output.stdout.clone()
}

/// Boots with a ready profile, and then with the one that was made there. Returns that.
fn boots_its_machine(boot: &Boot, image: &str) -> Profile {
    let first = boot.stage2();
    expect::everything(&first, image);
    let text = made(&first);
    println!("{text}");

    let room = paths::room().expect("a folder");
    let file = room.path().join("my.toml");
    fs::write(&file, &text).expect("a profile");
    let kernel = kernels::fetch(SERIES).expect("a kernel");
    let files = boot.recipe.more.as_ref().expect("the builder");
    let program = files.join("usr/bin").join(program::NAME);
    let mut check = Command::new(program);
    check.arg("check").arg(&file).arg("--modules-dir");
    tools::run(check.arg(&kernel.modules_dir)).expect("nothing is wrong with it");
    let init = build::init(Arch::X86_64).expect("the init");
    let request = Request::new(&kernel.modules_dir, file.clone(), init);
    let own = room.path().join("initrd.img");
    let built = initrd::build(&request).expect("an initrd");
    built.write(&own).expect("an initrd");

    let mut ready = boot.ready();
    if let Source::Files { initrd, .. } = &mut ready.machine.kernel {
        *initrd = own;
    }
    let running = ready.start();
    let second = ready.stage2(running);
    expect::everything(&second, image);
    // The machine is the same, whatever it was booted with.
    assert_eq!(made(&second), text);
    Profile::read(&file).expect("a profile")
}

#[test]
#[ignore = "slow: an optimised build of the builder, which reads all of a kernel's modules in an emulator"]
fn usr_on_a_virtio_disk() {
    let boot = Boot {
        kernel: SERIES,
        recipe: Recipe {
            more: Some(builder()),
            ..recipe()
        },
        append: "stage2.profile=yes",
        ..Boot::default()
    };
    let profile = boots_its_machine(&boot, IMAGE);
    let names = ["virtio_blk", "virtio_pci", "fs-ext4", "fs-squashfs"];
    assert_eq!(profile.modules.names, names);
    assert!(profile.verity.required);
    assert_eq!(profile.usr.expect("/usr").image, IMAGE);
}

#[test]
#[ignore = "slow: an optimised build of the builder, which reads all of a kernel's modules in an emulator"]
fn the_root_on_a_scsi_disk() {
    let boot = Boot {
        kernel: SERIES,
        initrd: Wanted {
            profile: "embedded.toml",
            names: &["virtio_pci", "virtio_scsi", "sd_mod", "erofs"],
            ..Wanted::DEMO
        },
        recipe: Recipe {
            usr: Filesystem::Erofs,
            root: true,
            more: Some(builder()),
            ..Recipe::default()
        },
        interface: Interface::VirtioScsi,
        append: "stage2.profile=yes systemd.verity_root_options=restart-on-corruption",
        ..Boot::default()
    };
    let profile = boots_its_machine(&boot, "");
    let names = ["sd_mod", "virtio_scsi", "virtio_pci", "fs-erofs"];
    assert_eq!(profile.modules.names, names);
    assert_eq!(profile.modules.always, ["dm-verity"]);
    assert_eq!(profile.verity.on_corruption, OnCorruption::Restart);
    assert!(profile.verity.required);
}
