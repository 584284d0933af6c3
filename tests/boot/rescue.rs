//! A person at the serial console: breakpoints, the prompt after a failure, the rescue console, the boot tried again.

use std::time::Duration;

use xtask::apt::Apt;
use xtask::disk::Disk;
use xtask::qemu::{Interface, Outcome, Running};
use xtask::{cache, paths};

use crate::harness::{Boot, Booted};
use crate::initrds::{Initrd, Wanted};
use crate::{IMAGE, expect, reports};

pub const GREETING: &str = "toehold rescue console: help lists the commands";

/// Waits for a line, or ends the test with what came instead.
#[track_caller]
fn see(running: &mut Running, text: &str) {
    assert!(
        running.wait_for(text),
        "no \"{text}\":\n{}",
        running.tail(40)
    );
}

/// Opens the rescue console.
#[track_caller]
fn open(running: &mut Running) {
    running.send("\r").expect("a key");
    see(running, GREETING);
}

/// Types a command, and waits for a line of its answer.
#[track_caller]
fn ask(running: &mut Running, command: &str, answer: &str) {
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
        initrd: Wanted {
            features: &["trace"],
            ..Wanted::DEMO
        },
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
        initrd: Wanted {
            prompt_seconds: 100,
            ..Wanted::DEMO
        },
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
        ("blk", "DEVNAME=vda2 DEVTYPE=partition"),
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
        initrd: Wanted {
            prompt_seconds: 100,
            ..Wanted::DEMO
        },
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
        initrd: Wanted {
            prompt_seconds: 100,
            ..Wanted::DEMO
        },
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
    ask(&mut running, "blk", "DEVNAME=sda2 DEVTYPE=partition");
    again(&mut running);
    second(ready.disk.clone(), &ready.initrd, running);
}

/// A shell that the initrd brings leads a session with job control on its console; leaving it tries again.
#[test]
fn the_initrds_own_shell() {
    let folder = cache::folder(&paths::output().join("busybox-static"), |folder| {
        Apt::open("bookworm")?.unpack("busybox-static", folder)
    });
    let busybox = folder.expect("busybox").join("bin/busybox");
    let settings = format!(
        "emergency.extra_files = {{ '/bin/busybox' = '{}' }}",
        busybox.display()
    );
    let ready = Boot {
        initrd: Wanted {
            prompt_seconds: 100,
            settings: settings.leak(),
            ..Wanted::DEMO
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
        report,
        log,
        disk,
        initrd: initrd.clone(),
    };
    expect::everything(&booted, IMAGE);
}

/// A boot that fails at once, with a second to react.
fn failing(settings: &'static str, append: &'static str) -> Outcome {
    let ready = Boot {
        initrd: Wanted {
            settings,
            ..Wanted::DEMO
        },
        words: |disk| {
            let hash = &disk.verity.as_ref().expect("verity").root_hash;
            disk.words().replace(hash.as_str(), "")
        },
        append,
        ..Boot::default()
    }
    .ready();
    let outcome = ready.start().finish().expect("QEMU");
    let line = "FAILED stage=verity step=options errno=- subject=verity.usrhash";
    assert_eq!(outcome.log.failed(), Some(line), "{}", outcome.log.tail(30));
    outcome
}

pub const PROMPT: &str = "Press Enter for emergency shell";

/// Three consoles: one without anybody (there is no screen), one whose terminal has asked for silence, and a living one, whose driver is a module that
/// nothing but this needs.
#[test]
fn consoles_that_are_dead() {
    let mut ready = Boot {
        initrd: Wanted {
            names: &["virtio_console"],
            prompt_seconds: 100,
            ..Wanted::DEMO
        },
        words: elsewhere,
        append: "console=hvc0 console=tty0 rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    ready.machine.second_console = true;
    let mut running = ready.start();
    let mut second = running.second().expect("a second console");
    see(&mut running, "toehold: FAILED stage=device step=wait");
    for left in ["100", "99", "98", "97", "96", "95"] {
        let shown = format!("\r{PROMPT} or wait {left} seconds for reboot ");
        let found = second.wait_for(&shown).expect("a second console");
        assert!(found, "no {shown}: {}", second.rest());
        if left == "99" {
            // XOFF: what is written to this one from here on waits.
            running.send("\x13").expect("a key");
        }
    }
    second.send("\r").expect("a key");
    // A line at 9600 baud carries 960 bytes a second: what is typed costs what it changes.
    for (typed, answer) in [
        ("", GREETING),
        ("", "\r\ntoehold> "),
        ("x", "x"),
        ("\x7f", "\x08 \x08"),
        ("cmdline\r", "console=tty0"),
        ("", "\r\ntoehold> "),
    ] {
        second.send(typed).expect("a command");
        let found = second.wait_for(answer).expect("a second console");
        assert!(found, "no {answer:?}: {}", second.rest());
        let is_single = typed.len() == 1;
        assert!(
            !is_single || second.rest().is_empty(),
            "{:?}",
            second.rest()
        );
    }
    second.send("poweroff\r").expect("a command");
    let outcome = running.finish().expect("QEMU");
    let log = outcome.log;
    assert!(log.contains("reboot: Power down"), "{}", log.tail(30));
    assert!(!log.contains("or wait 97 seconds"), "{}", log.tail(30));
}

/// The mistake is in what verifies: nothing of the first attempt is in the way of the second.
#[test]
fn a_root_hash_corrected() {
    let ready = Boot {
        initrd: Wanted {
            prompt_seconds: 100,
            ..Wanted::DEMO
        },
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

#[test]
fn halt() {
    let ready = Boot {
        words: elsewhere,
        append: "rd.earlytimeout=1 rd.emergency=halt",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "reboot: System halted");
    let shown = format!("{PROMPT} or wait 1 seconds for halt");
    assert!(running.tail(3).contains(&shown), "{}", running.tail(3));
}

#[test]
fn policies() {
    for (settings, append, prompt, end) in [
        (
            "",
            "",
            " or wait 1 seconds for reboot",
            "reboot: Restarting system",
        ),
        (
            "",
            "rd.emergency=poweroff",
            " or wait 1 seconds for poweroff",
            "reboot: Power down",
        ),
        (
            "emergency.action = 'panic'",
            "",
            " or wait 1 seconds for panic",
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        ),
        ("", "rd.shell=0", "", "reboot: Restarting system"),
        (
            "emergency.shell = false",
            "rd.emergency=shell rd.shell=1",
            "",
            "reboot: Restarting system",
        ),
    ] {
        let outcome = failing(settings, append);
        let log = &outcome.log;
        let shown = log.contains(&format!("{PROMPT}{prompt}"));
        assert_eq!(
            shown,
            !prompt.is_empty(),
            "{settings} {append}: {}",
            log.tail(30)
        );
        let announced = log.contains("toehold: reboot in 1 seconds");
        assert_eq!(
            announced,
            prompt.is_empty(),
            "{settings} {append}: {}",
            log.tail(30)
        );
        assert!(log.contains(end), "{settings} {append}: {}", log.tail(30));
        assert!(!outcome.timed_out);
    }
}
