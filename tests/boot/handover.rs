//! What has to be right before the root is switched: places, files and modules; and how the filesystem is mounted.

use std::time::Duration;

use xtask::lab::disk::{Disk, Filesystem, Recipe};
use xtask::lab::kernels::Series;
use xtask::lab::qemu::Running;
use xtask::lab::tools;

use crate::harness::{Boot, Booted, recipe, see};
use crate::initrds::Wanted;
use crate::misbehaving::{HANGS, NEEDS, WAITS};
use crate::people::changing;
use crate::rescue::{ask, open};
use crate::{IMAGE, expect, netboot};

/// A root that is not verified, on this filesystem.
fn root(usr: Filesystem) -> Boot {
    Boot {
        initrd: Wanted {
            profile: "embedded.toml",
            names: &["ext4", "btrfs", "overlay"],
            settings: "verity.required = false\nemergency.shell = true",
            ..Wanted::PATIENT
        },
        recipe: unverified(usr),
        ..Boot::default()
    }
}

fn unverified(usr: Filesystem) -> Recipe {
    Recipe {
        usr,
        root: true,
        verity: false,
        ..recipe()
    }
}

/// Removes an empty directory from a root on ext4.
fn remove(disk: &Disk, folder: &str) {
    let mut debugfs = tools::DEBUGFS.command().expect("debugfs");
    let image = format!("{}?offset={}", disk.path.display(), disk.partition_offset);
    debugfs.args(["-w", "-R", &format!("rmdir {folder}"), &image]);
    tools::run(&mut debugfs).expect("a folder less");
}

/// At a prompt after a failure nothing has been moved away: a person sees devices, modules and the log.
#[track_caller]
fn as_it_was(running: &mut Running) {
    open(running);
    for (command, answer) in [
        ("mounts", "proc /proc proc rw"),
        ("ls /sys", "class"),
        ("ls /run/toehold", "report"),
        ("blk", "block device: vda2 253:2"),
        ("mods", "virtio_blk "),
        ("log", "toehold"),
    ] {
        ask(running, command, answer);
    }
}

/// The last stage fails with this line, a person is asked, and restarts the machine.
fn fails_and_asks(boot: Boot, line: &str) {
    let ready = boot.ready();
    let mut running = ready.start();
    see(&mut running, "toehold: FAILED ");
    as_it_was(&mut running);
    running.send("reboot\r").expect("a command");
    ready.fails(running, line);
}

/// A root that cannot be written to lacks a place for what is moved there.
fn lacking(damage: fn(&Disk), line: &str) {
    let boot = Boot {
        damage: Some(damage),
        ..root(Filesystem::Ext4)
    };
    fails_and_asks(boot, line);
}

a_test! { [] no_place_for_run
    lacking(|disk| remove(disk, "run"), "FAILED stage=switch-root step=move errno=EROFS subject=/run")
}
a_test! { [also] no_place_for_sys
    lacking(|disk| remove(disk, "sys"), "FAILED stage=switch-root step=move errno=EROFS subject=/sys")
}
a_test! { [also] no_place_for_dev
    lacking(|disk| remove(disk, "dev"), "FAILED stage=switch-root step=move errno=EROFS subject=/dev")
}

/// Where the root can be written to the place is made.
#[test]
#[ignore = "slow: others much like it run"]
fn a_place_that_is_made() {
    for (settings, append) in [("root.overlay_size = '8M'", ""), ("", "rootflags=rw")] {
        let boot = root(Filesystem::Ext4);
        let booted = Boot {
            initrd: Wanted {
                settings: format!("verity.required = false\n{settings}").leak(),
                ..boot.initrd
            },
            damage: Some(|disk| remove(disk, "run")),
            append,
            ..boot
        }
        .stage2();
        assert_eq!(booted.report.mount("/run").expect("/run").fstype, "tmpfs");
    }
}

/// The mistake is corrected at the console, and the boot tried again: the places that were made before are not in the way.
#[test]
fn a_place_that_is_made_at_the_second_attempt() {
    let ready = Boot {
        damage: Some(|disk| remove(disk, "run")),
        ..root(Filesystem::Ext4)
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: FAILED stage=switch-root step=move");
    open(&mut running);
    running.send("set rootflags=rw\r").expect("a command");
    ask(&mut running, "retry", "toehold: retry");
    let report = running.finish().expect("QEMU").report.expect("stage 2");
    assert_eq!(report.mount("/run").expect("/run").fstype, "tmpfs");
    assert!(report.root_is_writable);
}

/// What is to come along from the initramfs has no place.
fn not_carried(settings: &'static str, line: &str) {
    let boot = netboot::boot(Series::Cloud61, |disk| {
        vec![("/usr.squashfs", netboot::image(disk, 0))]
    });
    let initrd = Wanted {
        settings,
        ..Wanted::PATIENT
    };
    // A disk that is not looked for, but seen.
    fails_and_asks(Boot { initrd, ..boot }, line);
}

a_test! { [] what_is_to_be_carried_has_no_place
    not_carried(
        "netboot.carry = ['/usr/sbin/veritysetup/x']",
        "FAILED stage=switch-root step=move errno=ENOTDIR subject=/usr/sbin/veritysetup/x",
    )
}
a_test! { [also] the_second_of_two_has_no_place
    not_carried(
        "netboot.carry = ['/oem', ['/usr/sbin/dmsetup', '/etc/machine']]",
        "FAILED stage=switch-root step=move errno=ENOTDIR subject=/usr/sbin/dmsetup",
    )
}

/// One processor, a disk that is there at once, and a module that every boot loads and that nothing would load later.
#[test]
fn modules_of_every_boot_are_there() {
    let boot = root(Filesystem::Ext4);
    let booted = Boot {
        initrd: Wanted {
            always: &[WAITS, "loop", "overlay"],
            misbehaving: &[WAITS],
            ..boot.initrd
        },
        ..boot
    }
    .stage2();
    for module in [WAITS, "loop", "overlay", "dm_verity"] {
        let loaded = booted.report.modules.iter().any(|name| name == module);
        assert!(loaded, "{module} is not among {:?}", booted.report.modules);
    }
    assert!(booted.stage("switch-root") > Duration::from_secs(4));
    assert_eq!(booted.report.processes, []);
}

/// One of them that hangs is not waited for without end, nor what needs it.
fn hanging(always: &'static [&'static str], cpus: u32) -> Booted {
    let booted = Boot {
        initrd: Wanted {
            always,
            misbehaving: &[HANGS, NEEDS, WAITS],
            ..Wanted::DEMO
        },
        cpus,
        ..Boot::default()
    }
    .stage2();
    expect::everything_and_hanging_loaders(&booted, IMAGE, 1);
    let waited = booted.stage("switch-root") - booted.stage("stage2");
    assert!(waited < Duration::from_secs(13), "waited {waited:?}");
    booted
}

#[test]
fn modules_of_every_boot_that_hang() {
    hanging(&[HANGS, NEEDS], 2);
}

/// One that takes its time behind one that hangs: it gets the only slot when the other one has lost it.
#[test]
#[ignore = "slow: others much like it run"]
fn a_module_of_every_boot_behind_one_that_hangs() {
    let booted = hanging(&[HANGS, WAITS], 1);
    assert!(booted.report.modules.iter().any(|name| name == WAITS));
}

/// How the kernel mounted a root on btrfs.
fn btrfs_options(booted: &Booted) -> &[String] {
    let root = booted.report.mount("/").expect("a root");
    assert_eq!(
        (root.fstype.as_str(), root.source.as_str()),
        ("btrfs", "/dev/vda2")
    );
    &root.super_options
}

/// A crash has left a log of what was written last. Where the disk can be written to it is replayed, whether or not the root is to be written to.
#[test]
fn a_log_on_btrfs_is_replayed() {
    let (crashed, mut running) = changing(
        unverified(Filesystem::Btrfs),
        "mount -t btrfs /dev/vda2 /mnt",
    );
    let commands = "sync; for n in 1 2 3 4 5 6; do dd if=/init of=/mnt/new-$n bs=9 count=1 conv=fsync; done; echo fsy''nced";
    ask(&mut running, commands, "fsynced");
    // Its end is that of a machine without power.
    drop(running);
    for append in ["rootflags=ro", "rootflags=rw,noatime", ""] {
        let mut ready = Boot {
            append,
            ..root(Filesystem::Btrfs)
        }
        .ready();
        // What this machine writes is thrown away.
        ready.machine.drives[ready.number].file = crashed.disk.path.clone();
        let running = ready.start();
        let booted = ready.stage2(running);
        let options = btrfs_options(&booted);
        assert!(
            !options.iter().any(|option| option.contains("nologreplay")),
            "{options:?}"
        );
        assert!(
            booted.log.contains("start tree-log replay"),
            "{}",
            booted.log.tail(60)
        );
        for name in ["new-1", "new-6"] {
            let there = booted.report.root.iter().any(|found| found == name);
            assert!(there, "no {name} in {:?}", booted.report.root);
        }
        assert_eq!(booted.report.root_is_writable, append.contains("rw"));
    }
}
