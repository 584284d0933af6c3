//! The init as the kernel's `/sbin/modprobe`: names and aliases, dependencies first, and what it exits with.

use builder::arch::Arch;
use builder::initrd::{self, Request};
use xtask::lab::build;
use xtask::lab::disk::{self, Recipe};
use xtask::lab::kernels::{self, Series};
use xtask::lab::qemu::Machine;
use xtask::lab::{guest, paths};

/// What is asked for, and what modprobe has to exit with.
const ASKED: [(&str, i32); 7] = [
    ("dm-verity", 0),
    // It is there already.
    ("dm_verity", 0),
    ("fs-btrfs", 0),
    ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", 0),
    ("no-such-module", 1),
    ("pci:v0000FFFFd0000FFFFsv00000000sd00000000bcFFscFFiFF", 1),
    ("", 1),
];

/// A kernel whose init is the reporter, in an initramfs with nothing but Toehold's answers.
#[test]
fn answers_the_kernel() {
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    let room = paths::room().expect("a folder");
    let profile = paths::root().join("xtask/profiles/qemu.toml");
    let init = build::init(Arch::X86_64).expect("the init");
    let reporter = guest::program(Arch::X86_64, "toehold-stage2").expect("the reporter");
    let built = initrd::build(&Request {
        extra: vec![
            ("/reporter".to_owned(), reporter),
            ("/tmp/x".to_owned(), profile.clone()),
        ],
        ..Request::new(&kernel.modules_dir, profile, init)
    })
    .expect("an initrd");
    let path = room.path().join("initrd.img");
    built.write(&path).expect("an initrd");
    let disk = disk::make(&Recipe::default()).expect("a disk");

    let names: Vec<&str> = ASKED.iter().map(|(name, _)| *name).collect();
    let append = format!(
        "rdinit=/reporter stage2.mount=erofs stage2.ask={}",
        names.join(",")
    );
    let outcome = Machine::new(kernel.vmlinuz, path, disk.path, append)
        .run()
        .expect("QEMU");
    let report = outcome.report;
    let report = report.unwrap_or_else(|| panic!("no report:\n{}", outcome.log.tail(60)));
    let asked: Vec<(&str, Option<i32>)> = report
        .asked
        .iter()
        .map(|(name, code)| (name.as_str(), *code))
        .collect();
    assert_eq!(asked, ASKED.map(|(name, code)| (name, Some(code))));
    for module in [
        "dm_verity",
        "dm_bufio",
        "dm_mod",
        "btrfs",
        "raid6_pq",
        "xor",
        "virtio_pci",
        "erofs",
    ] {
        let loaded = report.modules.iter().any(|name| name == module);
        assert!(loaded, "{module} is not among {:?}", report.modules);
    }
    // Nobody asked for it, and nothing needs it.
    assert!(!report.modules.iter().any(|name| name == "virtio_blk"));
}
