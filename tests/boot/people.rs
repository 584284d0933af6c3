//! People at a console, and machines without anybody: why a boot failed is there to be read before anyone is asked, whoever presses a key is
//! answered, and what was typed before the question is no answer.

use std::fs;
use std::time::Duration;

use builder::arch::Arch;
use xtask::lab::apt::Apt;
use xtask::lab::disk::Recipe;
use xtask::lab::qemu::Running;
use xtask::lab::{cache, paths};

use crate::harness::{Boot, Ready, recipe, see};
use crate::initrds::Wanted;
use crate::misbehaving::{HANGS, NEEDS};
use crate::policies::{PROMPT, exchange, failed_with_two_consoles};
use crate::reports;
use crate::rescue::{GREETING, answer, ask, elsewhere};

/// The failure of a boot from [`elsewhere`].
const NOWHERE: &str = "FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=00000000-0000-4000-8000-000000000000";

/// A console that shows next to nothing shows why nothing can be booted, before it asks.
fn quiet(append: &'static str) {
    let ready = Boot {
        words: elsewhere,
        append,
        ..Boot::default()
    }
    .ready();
    let running = ready.machine.start().expect("QEMU");
    let outcome = ready.fails(running, NOWHERE);
    let lines = &outcome.log.lines;
    let place = |text: &str| {
        let found = lines.iter().position(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no {text}:\n{}", outcome.log.tail(40)))
    };
    assert!(!outcome.log.contains("toehold: stage="), "it is not quiet");
    let said = [
        "toehold: FAILED",
        "toehold: compare devices below, check driver and rd.earlytimeout",
        "toehold: block device: vda2 ",
        PROMPT,
    ];
    let places = said.map(place);
    assert!(places.is_sorted(), "{places:?}:\n{}", outcome.log.tail(40));
    reports::NOWHERE.is_named(&outcome.log);
}

a_test! { [] level_of_the_console quiet("quiet loglevel=3 rd.earlytimeout=3") }
a_test! { [also] lowest_level_of_the_console quiet("loglevel=0 rd.earlytimeout=3") }
a_test! { [also] only_quiet quiet("quiet rd.earlytimeout=3") }

/// Where nobody but the kernel may write to its log, the console itself is written to.
#[test]
#[ignore = "slow: others much like it run"]
fn no_way_into_the_kernels_log() {
    let ready = Boot {
        words: elsewhere,
        append: "printk.devkmsg=off rd.earlytimeout=3",
        ..Boot::default()
    }
    .ready();
    let outcome = ready.start().finish().expect("QEMU");
    let failed = format!("toehold: {NOWHERE}");
    for text in [&failed, "block device: vda2 ", PROMPT] {
        assert!(outcome.log.contains(text), "{}", outcome.log.tail(40));
    }
}

/// The driver of the console is behind one that hangs, and one that cannot be loaded before that one.
fn behind_a_module_that_hangs(always: &'static [&'static str]) {
    let (running, mut second) = failed_with_two_consoles(Boot {
        initrd: Wanted {
            names: &[HANGS, NEEDS, "virtio_console"],
            always,
            misbehaving: &[HANGS, NEEDS],
            ..Wanted::PATIENT
        },
        append: "console=hvc0 console=ttyS0 rd.earlytimeout=1",
        cpus: 2,
        ..Boot::default()
    });
    for (typed, answer) in [
        ("", " seconds for reboot "),
        ("\r", GREETING),
        ("", "toehold> "),
        ("poweroff\r", "poweroff"),
    ] {
        exchange(&mut second, typed, answer);
    }
    let log = running.finish().expect("QEMU").log;
    assert!(log.contains("reboot: Power down"), "{}", log.tail(30));
    let hangs = format!("toehold: module {HANGS}: takes long: not waited for");
    let needs = format!("toehold: module {NEEDS}: waiting");
    for line in [hangs, needs] {
        assert!(log.contains(&line), "no {line}: {}", log.tail(60));
    }
    let time = |text: &str| log.time(text).expect("a time");
    let asked = time("toehold: wanted: ") - time("toehold: FAILED");
    assert!(asked < Duration::from_secs(20), "asked after {asked:?}");
}

a_test! { [] hardware_asks_for_one_that_hangs behind_a_module_that_hangs(&[]) }
a_test! { [also] the_boot_asks_for_one_that_hangs behind_a_module_that_hangs(&[HANGS]) }
a_test! { [also] the_boot_asks_for_what_needs_it behind_a_module_that_hangs(&[NEEDS]) }

/// What was typed while the machine booted is no answer to a question that came later: nobody may be there any more.
fn typed_early(keys: &str) {
    let ready = Boot {
        initrd: Wanted {
            prompt_seconds: 3,
            ..Wanted::DEMO
        },
        words: elsewhere,
        append: "rd.earlytimeout=4",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    running.send(keys).expect("keys");
    see(&mut running, "toehold: stage=modules done");
    running.send(keys).expect("keys");
    let outcome = ready.fails(running, NOWHERE);
    assert!(!outcome.log.contains(GREETING), "{}", outcome.log.tail(40));
    let asked = format!("{PROMPT} or wait 1 seconds for reboot");
    assert!(outcome.log.contains(&asked), "{}", outcome.log.tail(40));
}

a_test! { [] newline_typed_early typed_early("\n") }
a_test! { [also] return_typed_early typed_early("\r\r\r") }
a_test! { [also] a_command_typed_early typed_early("poweroff\rx") }

/// No console that could be opened: the machine is not there for ever, even where the policy is to wait for somebody.
fn nobody_can_answer(append: &'static str, end: &str) {
    let mut ready = Boot {
        initrd: Wanted {
            settings: "emergency.action = 'shell'",
            prompt_seconds: 3,
            ..Wanted::DEMO
        },
        words: elsewhere,
        append,
        ..Boot::default()
    }
    .ready();
    ready.machine.timeout = Duration::from_secs(100);
    // Early output is written by the kernel itself, without a device.
    let outcome = ready.start().finish().expect("QEMU");
    let log = &outcome.log;
    assert_eq!(log.failed(), Some(NOWHERE), "{}", log.tail(40));
    assert!(!outcome.timed_out && log.contains(end), "{}", log.tail(40));
    let [asked, ended] = ["toehold: wanted: ", end].map(|text| log.time(text).expect("a time"));
    let waited = ended - asked;
    assert!(
        waited > Duration::from_millis(2900),
        "ended after {waited:?}"
    );
    assert!(waited < Duration::from_secs(12), "ended after {waited:?}");
}

a_test! { [] no_console
    nobody_can_answer("8250.nr_uarts=0 earlyprintk=serial,ttyS0,115200,keep rd.earlytimeout=1", "reboot: Restarting system")
}
a_test! { [also] no_console_and_a_word
    nobody_can_answer(
        "8250.nr_uarts=0 earlyprintk=serial,ttyS0,115200,keep rd.earlytimeout=1 rd.emergency=poweroff",
        "reboot: Power down",
    )
}

/// A breakpoint that nobody can leave is left after a time.
#[test]
#[ignore = "slow: others much like it run"]
fn no_console_at_a_breakpoint() {
    let mut ready = Boot {
        append: "8250.nr_uarts=0 earlyprintk=serial,ttyS0,115200,keep rd.earlyshell=2",
        ..Boot::default()
    }
    .ready();
    ready.machine.timeout = Duration::from_secs(100);
    let log = ready.start().finish().expect("QEMU").log;
    for text in [
        "toehold: breakpoint 2/4 before verity",
        toehold_stage2::HELLO,
    ] {
        assert!(log.contains(text), "{}", log.tail(40));
    }
}

/// An initrd with a shell of its own, and with time for a person.
fn with_a_shell(prompt_seconds: u32) -> Wanted {
    let folder = cache::folder(&paths::output().join("busybox-static"), |folder| {
        Apt::open("bookworm", Arch::X86_64)?.unpack("busybox-static", folder)
    });
    let busybox = folder.expect("busybox").join("bin/busybox");
    let settings = format!(
        "emergency.extra_files = {{ '/bin/busybox' = '{}' }}",
        busybox.display()
    );
    Wanted {
        settings: settings.leak(),
        prompt_seconds,
        ..Wanted::DEMO
    }
}

/// A shell that the initrd brings leads a session with job control on its console; leaving it tries again.
#[test]
fn the_initrds_own_shell() {
    let ready = Boot {
        initrd: with_a_shell(100),
        words: elsewhere,
        append: "rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: FAILED stage=device");
    answer(&mut running, "built-in shell (ash)");
    // The quotes keep what is typed from being taken for the answer.
    ask(&mut running, "echo \"on$(tty)\"", "on/dev/ttyS0");
    let monitor = "case $- in *m*) echo job''control;; esac";
    ask(&mut running, monitor, "jobcontrol");
    ask(&mut running, "echo on''ce; sleep 1000", "once");
    std::thread::sleep(Duration::from_secs(1));
    running.send("\x03").expect("^C");
    ask(&mut running, "echo a''live", "alive");
    let wanted = "wanted: PARTUUID=00000000-0000-4000-8000-000000000000:";
    ask(&mut running, "grep want /run/toehold/report", wanted);
    ask(&mut running, "exit", "toehold: retry");
    see(&mut running, "toehold: FAILED stage=device");
    assert!(!running.tail(1000).contains("job control turned off"));
}

/// Starts a machine with a disk of its own, which it changes, and mounts the second partition with this.
pub fn changing(recipe: Recipe, mount: &str) -> (Ready, Running) {
    let mut ready = Boot {
        initrd: with_a_shell(15),
        recipe,
        // A copy.
        damage: Some(|_| {}),
        words: |_| "mount.usr=PARTUUID=00000000-0000-4000-8000-000000000000".to_owned(),
        append: "rd.earlytimeout=1",
        ..Boot::default()
    }
    .ready();
    ready.machine.drives[ready.number].kept = true;
    let mut running = ready.start();
    see(&mut running, "toehold: FAILED stage=device");
    answer(&mut running, "built-in shell (ash)");
    running.send("mkdir /mnt\r").expect("a command");
    ask(
        &mut running,
        &format!("{mount} && echo mount''ed"),
        "mounted",
    );
    (ready, running)
}

/// What a person has written is on the disk when the machine restarts, although nobody has unmounted it.
#[test]
fn what_was_written_is_not_lost() {
    let recipe = Recipe {
        verity: false,
        ..recipe()
    };
    let (ready, mut running) = changing(recipe, "mount -t ext4 /dev/vda2 /mnt");
    // The kernel is not to write it by itself meanwhile.
    running
        .send("echo 0 >/proc/sys/vm/dirty_writeback_centisecs\r")
        .expect("a command");
    let text = "kept-by-the-machine-that-";
    ask(
        &mut running,
        &format!("echo {text}re''starts >/mnt/new; echo writ''ten"),
        "written",
    );
    running.send("exit\r").expect("a command");
    see(&mut running, "toehold: retry");
    let outcome = running.finish().expect("QEMU");
    assert!(
        outcome.log.contains("reboot: Restarting system"),
        "{}",
        outcome.log.tail(30)
    );
    let disk = fs::read(&ready.disk.path).expect("a disk");
    let written = format!("{text}restarts");
    let mut windows = disk.windows(written.len());
    assert!(
        windows.any(|window| window == written.as_bytes()),
        "it is lost"
    );
}
