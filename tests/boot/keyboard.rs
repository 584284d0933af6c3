//! A person at a screen and a keyboard.

use std::time::Duration;

use xtask::lab::kernels::Series;
use xtask::lab::qemu::{Keyboard, Running};

use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::policies::PROMPT;
use crate::rescue::{GREETING, elsewhere};

/// Waits for a text on the screen, or ends the test with what is there instead.
#[track_caller]
fn see(running: &Running, text: &str) {
    try_for(running, text, "", 1, Duration::from_secs(60));
}

/// Presses keys until there is an answer: one that is pressed while its keyboard is still being set up is lost, and a person presses it again.
#[track_caller]
fn ask(running: &Running, keys: &str, answer: &str) {
    try_for(running, answer, keys, 12, Duration::from_secs(5));
}

#[track_caller]
fn try_for(running: &Running, text: &str, keys: &str, times: u32, time: Duration) {
    for _ in 0..times {
        press(running, keys);
        if running.wait_for_screen(text, time).expect("a screen") {
            return;
        }
    }
    let screen = running.screen().expect("a screen").join("\n");
    panic!(
        "no \"{text}\" on\n{screen}\nthe serial line:\n{}",
        running.tail(40)
    );
}

#[track_caller]
fn press(running: &Running, keys: &str) {
    running.press(keys).expect("keys");
}

fn boot(keyboard: Keyboard, boot: Boot) -> Running {
    let mut ready = boot.ready();
    ready.machine.keyboard = Some(keyboard);
    ready.start()
}

#[track_caller]
fn ends(running: Running, line: &str) {
    let outcome = running.finish().expect("QEMU");
    assert!(
        !outcome.timed_out && outcome.log.contains(line),
        "{}",
        outcome.log.tail(30)
    );
}

#[test]
fn at_the_ps2_controller() {
    let running = boot(
        Keyboard::Ps2,
        Boot {
            initrd: Wanted::PATIENT,
            words: elsewhere,
            append: "rd.earlytimeout=1 console=tty0 no-scroll",
            ..Boot::default()
        },
    );
    see(&running, &format!("{PROMPT} or wait"));
    ask(&running, "\n", GREETING);
    ask(&running, "help\n", "report blk mods");
    press(&running, "reboot\n");
    ends(running, "reboot: Restarting system");
}

/// On a kernel that has all of USB in modules. At the first breakpoint no hardware was looked at yet.
#[test]
fn at_usb() {
    let mut running = boot(
        Keyboard::Usb,
        Boot {
            kernel: Series::Generic61,
            initrd: Wanted {
                names: &["xhci_pci", "usbhid", "hid_generic"],
                ..Wanted::PATIENT
            },
            words: elsewhere,
            append: "rd.earlyshell=1 rd.earlytimeout=1 console=tty0 no-scroll",
            ..Boot::default()
        },
    );
    assert!(running.wait_for("toehold: breakpoint 1/4 before modules"));
    see(&running, PROMPT);
    assert!(running.wait_for("QEMU USB Keyboard] on usb-"));
    ask(&running, "\n", GREETING);
    press(&running, "continue\n");
    see(&running, &format!("{PROMPT} or wait"));
    // Its greeting may still be on the screen from the first time; what is asked now is not.
    press(&running, "\n");
    ask(&running, "help\n", "report blk mods");
    press(&running, "poweroff\n");
    ends(running, "reboot: Power down");
}
