//! A person at the serial console: breakpoints, the prompt after a failure, the rescue console, the boot tried again.

use std::time::{Duration, Instant};

use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::kernels::Series;
use xtask::lab::qemu::{Interface, Running};

use crate::harness::{Boot, Booted, see};
use crate::initrds::{Initrd, Wanted};
use crate::{IMAGE, expect, reports};

pub const GREETING: &str = "toehold rescue console: try help";

/// Opens the rescue console. A key that is pressed before the prompt is there is no answer, and a person presses it again.
#[track_caller]
pub fn open(running: &mut Running) {
    answer(running, GREETING);
}

/// Presses Enter until the shell is there that shows this.
#[track_caller]
pub fn answer(running: &mut Running, shell: &str) {
    let seen = running.log().lines.len();
    let end = Instant::now() + Duration::from_secs(300);
    while Instant::now() < end {
        running.send("\r").expect("a key");
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            running.catch_up();
            let mut lines = running.log().lines.iter().skip(seen);
            if lines.any(|line| line.contains(shell)) {
                return;
            }
        }
    }
    panic!("no {shell:?}; the console ended with\n{}", running.tail(60));
}

/// Types a command, and waits for a line of its answer.
#[track_caller]
pub fn ask(running: &mut Running, command: &str, answer: &str) {
    running.send(&format!("{command}\r")).expect("a command");
    see(running, answer);
}

/// Corrects a word of the command line.
fn set(running: &mut Running, word: &str) {
    running.send(&format!("set {word}\r")).expect("a command");
}

/// Tries again, this time with patience.
fn again(running: &mut Running) {
    set(running, "rd.earlytimeout=120");
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
        ("boot", "try help"),
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
    set(&mut running, &format!("verity.usr=PARTUUID={partuuid}"));
    ask(&mut running, "cat /run/toehold/set", "verity.usr=PARTUUID=");
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

/// Three mistakes, each corrected where it shows: the device, what verifies it, its filesystem. What an attempt has made is not in the
/// way of the next.
#[test]
fn mistakes_corrected_one_after_the_other() {
    let ready = Boot {
        initrd: Wanted::PATIENT,
        recipe: Recipe::default(),
        words: |disk| {
            let hash = &disk.verity.as_ref().expect("verity").root_hash;
            elsewhere(disk).replace(hash.as_str(), &"0".repeat(hash.len()))
        },
        append: "rd.emergency=shell rd.earlytimeout=1 mount.usrfstype=ext4",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(
        &mut running,
        "toehold: FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=00000000-",
    );
    open(&mut running);
    assert!(!running.tail(1).contains("or wait"), "{}", running.tail(1));
    let partuuid = &ready.disk.partuuid;
    set(&mut running, &format!("verity.usr=PARTUUID={partuuid}"));
    again(&mut running);

    see(
        &mut running,
        "toehold: FAILED stage=verity step=probe errno=EIO subject=/dev/vda2",
    );
    open(&mut running);
    ask(&mut running, "ls /dev/mapper", "control");
    let hash = &ready.disk.verity.as_ref().expect("verity").root_hash;
    set(&mut running, &format!("verity.usrhash={hash}"));
    ask(&mut running, "retry", "toehold: retry");

    see(
        &mut running,
        "toehold: FAILED stage=usr step=mount errno=EINVAL subject=/dev/mapper/usr",
    );
    open(&mut running);
    let mut log = running.log().clone();
    drop_attempts(&mut log.lines);
    reports::WRONG_FILESYSTEM.is_named(&log);
    set(&mut running, "usrfstype=btrfs");
    ask(&mut running, "retry", "toehold: retry");
    second(ready.disk.clone(), &ready.initrd, running);
}

/// Leaves the last attempt.
fn drop_attempts(lines: &mut Vec<String>) {
    let retry = lines
        .iter()
        .rposition(|line| line.ends_with("toehold: retry"));
    lines.drain(..retry.expect("another attempt"));
}

/// The last attempt boots as if it were the first.
fn second(disk: Disk, initrd: &Initrd, running: Running) {
    let outcome = running.finish().expect("QEMU");
    let tail = outcome.log.tail(60);
    let mut report = outcome
        .report
        .unwrap_or_else(|| panic!("no stage 2:\n{tail}"));
    let mut log = outcome.log;
    // Those before do not count.
    drop_attempts(&mut log.lines);
    drop_attempts(&mut report.messages);
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
