//! The builder of the release archive in a Debian that has nothing but a C library, and a boot of what it makes there.

use std::fs;
use std::path::Path;
use std::process::Command;

use builder::arch::Arch;
use builder::initrd::{self, Request};
use xtask::lab::apt::Apt;
use xtask::lab::build;
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::Source;
use xtask::lab::{paths, tools};
use xtask::release::dist::{self, Release};

use crate::harness::Boot;
use crate::{IMAGE, expect};

/// Makes the Debian in `root`, with the release and a kernel's modules in it.
fn install(root: &Path, modules_dir: &Path) {
    let debian = Apt::open("bookworm", Arch::default()).expect("Debian");
    for package in ["libc6", "libgcc-s1"] {
        debian
            .fresh(|| debian.unpack(package, root))
            .expect("a package");
    }
    let release = root.join("opt");
    fs::create_dir_all(&release).expect("a folder");
    fs::write(
        release.join("archive"),
        Release::build()
            .expect("a release")
            .archive()
            .expect("an archive"),
    )
    .expect("a file");
    let mut tar = Command::new("tar");
    tools::run(tar.args(["-xf", "archive"]).current_dir(&release)).expect("tar");
    let modules = root.join("lib/modules");
    fs::create_dir_all(&modules).expect("a folder");
    let mut copy = Command::new("cp");
    tools::run(copy.arg("-r").arg(modules_dir).arg(&modules)).expect("the modules");
}

/// Takes root, for chroot.
#[test]
#[ignore = "slow: an optimised build of the builder"]
fn built_by_the_release_in_an_empty_debian() {
    let mut ready = Boot::default().ready();
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    let room = paths::room().expect("a folder");
    let root = room.path();
    install(root, &kernel.modules_dir);
    let program = format!("/opt/{}/bin/toehold-mkinitrd", dist::top());
    let mut chroot = Command::new("chroot");
    chroot
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    chroot.arg(root).arg(program).args(["--profile", "qemu"]);
    let modules = format!("/lib/modules/{}", kernel.release);
    tools::run(chroot.args(["--modules-dir", &modules, "-o", "/initrd.img"])).expect("an initrd");

    let made = root.join("initrd.img");
    let profile = paths::root().join("xtask/profiles/qemu.toml");
    let init = build::init(Arch::X86_64).expect("the init");
    let same = initrd::build(&Request::new(&kernel.modules_dir, profile, init)).expect("an initrd");
    assert!(
        fs::read(&made).expect("an initrd") == same.archive,
        "not what the library makes"
    );
    if let Source::Files { initrd, .. } = &mut ready.machine.kernel {
        *initrd = made;
    }
    let running = ready.start();
    expect::everything(&ready.stage2(running), IMAGE);
}
