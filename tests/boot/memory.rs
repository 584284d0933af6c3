//! Memory: little is enough, and what the initramfs took is free again.

use xtask::lab::kernels::Series;

use crate::flatcar;
use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::{IMAGE, expect};

const MIB: u64 = 1 << 20;

/// 64 MiB beyond the unpacked initrd, of which the kernel's own share is already gone.
#[test]
fn little_memory() {
    let booted = Boot {
        memory: 99,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let total = booted.report.memory("MemTotal") * 1024;
    let beyond = (total - booted.initrd.bytes as u64) / MIB;
    assert!(
        (58..=64).contains(&beyond),
        "{beyond} MiB beyond the initrd: choose another size for the machine"
    );
}

/// With the drivers for any hardware, of which this machine needs a few: the others stay packed. Unpacked they take 67 MB.
#[test]
fn little_memory_for_any_hardware() {
    let booted = Boot {
        memory: 128,
        ..flatcar::from(Series::Generic61, flatcar::slot_a)
    }
    .stage2();
    expect::everything(&booted, "lib/flatcar/bootengine.img");
}

/// Two initrds, one of them with 48 MiB more in it: stage 2 has the same memory, whether the kernel made the initramfs a
/// tmpfs or, as it does when told of a root, a ramfs.
#[test]
fn initramfs_is_freed() {
    let available = |ballast, append| {
        let booted = Boot {
            initrd: Wanted {
                ballast,
                ..Wanted::DEMO
            },
            append,
            ..Boot::default()
        }
        .stage2();
        expect::everything(&booted, IMAGE);
        let memory = |field| booted.report.memory(field);
        memory("MemAvailable") + memory("PerCpuLists")
    };
    let small = available(0, "");
    for append in ["", "root=none"] {
        let large = available(48 * MIB as usize, append);
        let less = small.saturating_sub(large);
        assert!(
            less < 2048,
            "{less} KiB less with the larger initrd, {append:?}"
        );
    }
}
