//! What follows a failure when nobody comes, and where somebody could come: the prompt on every console.

use xtask::lab::qemu::{Outcome, Running, Second};

use crate::harness::{Boot, see};
use crate::initrds::Wanted;
use crate::rescue::{GREETING, elsewhere};

pub const PROMPT: &str = "Press Enter for emergency shell";

/// Boots from [`elsewhere`] until that has failed, with a second console that a person is at.
#[track_caller]
pub fn failed_with_two_consoles(boot: Boot) -> (Running, Second) {
    let mut ready = Boot {
        words: elsewhere,
        ..boot
    }
    .ready();
    ready.machine.second_console = true;
    let mut running = ready.start();
    let second = running.second().expect("a second console");
    see(&mut running, "toehold: FAILED stage=device step=wait");
    (running, second)
}

/// Types something there, and returns what is shown up to the answer.
#[track_caller]
pub fn exchange(second: &mut Second, typed: &str, answer: &str) -> String {
    second.send(typed).expect("a key");
    let shown = second.wait_for(answer).expect("a second console");
    shown.unwrap_or_else(|| panic!("no {answer:?}: {}", second.rest()))
}

/// Three consoles: one without anybody (there is no screen), one whose terminal has asked for silence, and a living one, whose driver is a module that
/// nothing but this needs.
#[test]
fn consoles_that_are_dead() {
    let (mut running, mut second) = failed_with_two_consoles(Boot {
        initrd: Wanted {
            names: &["virtio_console"],
            ..Wanted::PATIENT
        },
        append: "console=hvc0 console=tty0 rd.earlytimeout=1",
        ..Boot::default()
    });
    let mut read = |typed: &str, answer: &str| exchange(&mut second, typed, answer);
    // A line at 9600 baud carries 960 bytes a second, of which the countdown may take a tenth.
    let (mut is_quiet, mut again) = (false, false);
    let (mut left, mut seconds) = (101, 0);
    while seconds < 6 {
        let start = format!("\r{PROMPT} or wait ");
        let rest = " seconds for reboot ";
        let before = read("", &start);
        let number = read("", rest);
        assert!(start.len() + number.len() <= 96, "{start}{number}");
        // A machine that is held up leaves seconds out; one that has found something shows one again.
        let now = number.strip_suffix(rest).and_then(|now| now.parse().ok());
        let now: u32 = now.unwrap_or_else(|| panic!("no seconds: {number}"));
        assert!(now <= left, "{now} after {left}");
        // The kernel may have said something meanwhile, but not each second.
        is_quiet |= now < left && before == start && !again;
        again = now == left;
        if again {
            continue;
        }
        (left, seconds) = (now, seconds + 1);
        if seconds == 2 {
            // XOFF: what is written to this one from here on waits.
            running.send("\x13").expect("a key");
        }
    }
    assert!(left > 50, "only {left} seconds are left");
    assert!(is_quiet, "a second costs more than the prompt");
    read("\r", GREETING);
    read("", "\r\n\r\x1b[Ktoehold> ");
    // What is typed costs what it changes.
    for (typed, answer) in [("x", "x"), ("\x7f", "\x08 \x08")] {
        assert_eq!(read(typed, answer), answer);
    }
    let shown = read("cmdline\r", "console=tty0");
    assert!(shown.starts_with("cmdline\r\n"), "{shown:?}");
    read("", "\r\n\r\x1b[Ktoehold> ");
    second.send("poweroff\r").expect("a command");
    let outcome = running.finish().expect("QEMU");
    let log = outcome.log;
    assert!(log.contains("reboot: Power down"), "{}", log.tail(30));
    let last = format!("or wait {left} seconds");
    assert!(!log.contains(&last), "{}", log.tail(30));
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
        ("", "rd.shell=no", "", "reboot: Restarting system"),
        ("", "rd.shell=off", "", "reboot: Restarting system"),
        ("", "rd.shell=False", "", "reboot: Restarting system"),
        // What is no boolean counts as the stricter one.
        ("", "rd.shell=nope", "", "reboot: Restarting system"),
        (
            "",
            "rd.shell=0 rd.shell=Yes",
            " or wait 1 seconds for reboot",
            "reboot: Restarting system",
        ),
        (
            "emergency.shell = false",
            "rd.emergency=shell rd.shell=1",
            "",
            "reboot: Restarting system",
        ),
    ] {
        policy(settings, append, prompt, end);
    }
}

/// More ways to spell a boolean, or something that is none.
#[test]
#[ignore = "slow: others much like it run"]
fn more_spellings() {
    for no in ["N", "f", "2", "", "disabled", "\"\"", "noyes"] {
        policy(
            "",
            format!("rd.shell=1 rd.shell={no}").leak(),
            "",
            "reboot: Restarting system",
        );
    }
    for yes in ["=T", "=\"on\"", "=y", ""] {
        let append = format!("rd.shell=0 rd.shell{yes}");
        policy(
            "",
            append.leak(),
            " or wait 1 seconds for reboot",
            "reboot: Restarting system",
        );
    }
}

/// Whether anybody is asked, with what behind the question, and how the machine ends.
fn policy(settings: &'static str, append: &'static str, prompt: &str, end: &str) {
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
