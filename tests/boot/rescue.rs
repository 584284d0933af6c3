//! A person at the serial console: breakpoints, the prompt after a failure, the rescue console, the boot tried again.

use std::time::Duration;

use builder::arch::Arch;
use xtask::lab::apt::Apt;
use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::kernels::Series;
use xtask::lab::qemu::{Interface, Running};
use xtask::lab::{cache, paths};

use crate::harness::{Boot, Booted};
use crate::initrds::{Initrd, Wanted};
use crate::{IMAGE, expect, reports};

pub const GREETING: &str = "toehold rescue console: help lists the commands";

/// Waits for a line, or ends the test with what came instead.
#[track_caller]
pub fn see(running: &mut Running, text: &str) {
    assert!(
        running.wait_for(text),
        "no \"{text}\":\n{}",
        running.tail(40)
    );
}

/// Opens the rescue console.
#[track_caller]
pub fn open(running: &mut Running) {
    running.send("\r").expect("a key");
    see(running, GREETING);
}

/// Types a command, and waits for a line of its answer.
#[track_caller]
pub fn ask(running: &mut Running, command: &str, answer: &str) {
    running.send(&format!("{command}\r")).expect("a command");
    see(running, answer);
}

/// Tries again, this time with patience.
fn again(running: &mut Running) {
    running.send("set rd.earlytimeout=60\r").expect("a command");
    ask(running, "retry", "toehold: retry");
}

/// A device that no machine has, in the place of the right one.
pub fn elsewhere(disk: &Disk) -> String {
    disk.words()
        .replace(&disk.partuuid, "00000000-0000-4000-8000-000000000000")
}

#[test]
fn all_breakpoints() {
    let ready = Boot {
        append: "rd.earlyshell",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    for (point, stage, command, answer) in [
        (1, "modules", "ls /dev/mapper", "/dev/mapper: ENOENT"),
        (2, "verity", "mods", "dm_verity "),
        (3, "usr", "ls /dev/mapper", "usr"),
        (
            4,
            "switch-root",
            "mounts",
            "overlay /stage2/root overlay rw",
        ),
    ] {
        let line =
            format!("toehold: breakpoint {point}/4 before {stage}: leave the shell to go on");
        see(&mut running, &line);
        open(&mut running);
        ask(&mut running, command, answer);
        running.send("continue\r").expect("a command");
    }
    expect::everything(&ready.stage2(running), IMAGE);
}

/// Two of them, and between these the system calls.
#[test]
fn some_breakpoints() {
    let ready = Boot {
        append: "rd.earlyshell=2,4",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    for (line, command) in [
        ("toehold: breakpoint 2/4 before verity", "trace on"),
        ("toehold: breakpoint 4/4 before switch-root", "trace off"),
    ] {
        see(&mut running, line);
        open(&mut running);
        ask(&mut running, command, "toehold> ");
        running.send("continue\r").expect("a command");
    }
    let booted = ready.stage2(running);
    expect::everything(&booted, IMAGE);
    let said: Vec<&str> = booted.log.toehold().collect();
    let place = |text: &str| {
        let found = said.iter().position(|line| line.starts_with(text));
        found.unwrap_or_else(|| panic!("no {text}"))
    };
    let points = said.iter().filter(|line| line.starts_with("breakpoint "));
    assert_eq!(points.count(), 2);
    for (number, line) in said.iter().enumerate() {
        // The last ones are the end of the console itself, seen by the one who waits for it.
        let traced = place("breakpoint 2/4")..=place("stage=switch-root");
        assert!(
            !line.starts_with("[1] +") || traced.contains(&number),
            "{line}"
        );
    }
    let verity = &said[place("stage=device")..place("stage=verity")];
    assert!(
        verity
            .iter()
            .any(|line| line.contains(", DM_TABLE_LOAD, {\"usr\", \"verity\", \"1 "))
    );
    let root = &said[place("breakpoint 4/4")..];
    assert!(!root.iter().any(|line| line.contains("pivot_root(")));
}

/// Each command once, with wrong arguments as well, and every way to edit a line; then the mistake is corrected, and the boot tried again.
#[test]
fn every_command_and_a_second_attempt() {
    let ready = Boot {
        initrd: Wanted::PATIENT,
        words: elsewhere,
        append: "rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "toehold: FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=00000000-",
    );
    open(&mut running);
    let release = "kernel 6.1.";
    for (command, answer) in [
        (
            "help",
            "load NAME set NAME=VALUE trace on|off retry continue reboot poweroff",
        ),
        ("report", release),
        ("blk", "block device: vda2 253:2 SIZE="),
        ("mods", "virtio_blk "),
        ("log 500", "Linux version 6.1."),
        ("ls /sysusr", "usr"),
        ("ls /nowhere", "/nowhere: ENOENT"),
        ("cat /proc/sys/kernel/ostype", "Linux"),
        ("cat", ": ENOENT"),
        ("cat /", "/: EISDIR"),
        ("mounts", "proc /proc proc rw,nosuid,nodev,noexec"),
        ("cmdline", "rd.earlytimeout=1"),
        ("load fs-btrfs", "toehold> "),
        ("mods", "btrfs "),
        ("load nothing", "nothing: ENOENT"),
        ("boot", "help lists the commands"),
        ("cmdlinx\x7fe", "rd.earlytimeout=1"),
        ("rubbish\x15ls /nowhere", "/nowhere: ENOENT"),
        ("reboot\x03ls /nowhere", "/nowhere: ENOENT"),
        ("\x1b[A", "/nowhere: ENOENT"),
    ] {
        ask(&mut running, command, answer);
    }
    // It never ends by itself.
    running.send("cat /dev/urandom\r").expect("a command");
    std::thread::sleep(Duration::from_secs(1));
    running.send("\x03").expect("^C");
    ask(&mut running, "ls /nowhere", "/nowhere: ENOENT");

    let partuuid = &ready.disk.partuuid;
    running
        .send(&format!("set verity.usr=PARTUUID={partuuid}\r"))
        .expect("a command");
    ask(&mut running, "cat /run/toehold/set", "verity.usr=PARTUUID=");
    again(&mut running);
    second(ready.disk.clone(), &ready.initrd, running);
}

/// What failed had made something already: nothing of it may be in the way.
#[test]
fn a_second_attempt_from_usr() {
    let ready = Boot {
        initrd: Wanted::PATIENT,
        recipe: Recipe::default(),
        append: "mount.usrfstype=ext4",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "toehold: FAILED stage=usr step=mount errno=EINVAL subject=/dev/mapper/usr",
    );
    open(&mut running);
    reports::WRONG_FILESYSTEM.is_named(running.log());
    running.send("set usrfstype=btrfs\r").expect("a command");
    again(&mut running);
    second(ready.disk.clone(), &ready.initrd, running);
}

/// It comes while a person looks for it.
#[test]
fn a_disk_plugged_in_at_the_prompt() {
    let ready = Boot {
        initrd: Wanted::PATIENT,
        interface: Interface::VirtioScsi,
        unplugged: true,
        append: "rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "toehold: FAILED stage=device step=wait errno=ETIMEDOUT",
    );
    open(&mut running);
    reports::TOO_LATE.is_named(running.log());
    running.plug(ready.number).expect("a disk");
    see(&mut running, "sda: sda1 sda2 sda3");
    ask(&mut running, "blk", "block device: sda2 8:2 SIZE=");
    again(&mut running);
    second(ready.disk.clone(), &ready.initrd, running);
}

/// A shell that the initrd brings leads a session with job control on its console; leaving it tries again.
#[test]
fn the_initrds_own_shell() {
    let folder = cache::folder(&paths::output().join("busybox-static"), |folder| {
        Apt::open("bookworm", Arch::X86_64)?.unpack("busybox-static", folder)
    });
    let busybox = folder.expect("busybox").join("bin/busybox");
    let settings = format!(
        "emergency.extra_files = {{ '/bin/busybox' = '{}' }}",
        busybox.display()
    );
    let ready = Boot {
        initrd: Wanted {
            settings: settings.leak(),
            ..Wanted::PATIENT
        },
        words: elsewhere,
        append: "rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: FAILED stage=device");
    running.send("\r").expect("a key");
    see(&mut running, "built-in shell (ash)");
    // The quotes keep what is typed from being taken for the answer.
    ask(&mut running, "echo \"on$(tty)\"", "on/dev/ttyS0");
    let monitor = "case $- in *m*) echo job''control;; esac";
    ask(&mut running, monitor, "jobcontrol");
    running.send("sleep 1000\r").expect("a command");
    std::thread::sleep(Duration::from_secs(1));
    running.send("\x03").expect("^C");
    ask(&mut running, "echo a''live", "alive");
    let wanted = "wanted: PARTUUID=00000000-0000-4000-8000-000000000000:";
    ask(&mut running, "grep want /run/toehold/report", wanted);
    ask(&mut running, "exit", "toehold: retry");
    see(&mut running, "toehold: FAILED stage=device");
    assert!(!running.tail(1000).contains("job control turned off"));
}

/// The mistake is in what verifies: nothing of the first attempt is in the way of the second.
#[test]
fn a_root_hash_corrected() {
    let ready = Boot {
        initrd: Wanted::PATIENT,
        words: |disk| {
            let hash = &disk.verity.as_ref().expect("verity").root_hash;
            disk.words().replace(hash.as_str(), &"0".repeat(hash.len()))
        },
        append: "rd.emergency=shell",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "toehold: FAILED stage=verity step=probe errno=EIO subject=/dev/vda2",
    );
    open(&mut running);
    assert!(!running.tail(1).contains("or wait"), "{}", running.tail(1));
    ask(&mut running, "ls /dev/mapper", "control");
    let hash = &ready.disk.verity.as_ref().expect("verity").root_hash;
    running
        .send(&format!("set verity.usrhash={hash}\r"))
        .expect("a command");
    again(&mut running);
    second(ready.disk.clone(), &ready.initrd, running);
}

/// The second attempt boots as if it were the first.
fn second(disk: Disk, initrd: &Initrd, running: Running) {
    let outcome = running.finish().expect("QEMU");
    let tail = outcome.log.tail(60);
    let mut report = outcome
        .report
        .unwrap_or_else(|| panic!("no stage 2:\n{tail}"));
    let mut log = outcome.log;
    // The first attempt does not count.
    for lines in [&mut log.lines, &mut report.messages] {
        let retry = lines
            .iter()
            .position(|line| line.ends_with("toehold: retry"));
        lines.drain(..retry.expect("a second attempt"));
    }
    assert_eq!(log.failed(), None);
    let booted = Booted {
        kernel: Series::Cloud61,
        report,
        log,
        disk,
        initrd: initrd.clone(),
    };
    expect::everything(&booted, IMAGE);
}
