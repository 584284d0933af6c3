//! A person at a screen and a keyboard.

use std::time::Duration;

use xtask::lab::kernels::Series;
use xtask::lab::qemu::{Keyboard, Running};

use crate::harness::{Boot, see as read};
use crate::initrds::Wanted;
use crate::misbehaving::{HANGS, NEEDS};
use crate::policies::PROMPT;
use crate::rescue::{GREETING, elsewhere};

/// Waits for a text on the screen, or ends the test with what is there instead.
#[track_caller]
fn see(running: &mut Running, text: &str) {
    try_for(running, text, "", 1, Duration::from_secs(300));
}

/// Presses keys until there is an answer: one that is pressed while its keyboard is still being set up is lost, and a person presses it again.
#[track_caller]
fn ask(running: &mut Running, keys: &str, answer: &str) {
    try_for(running, answer, keys, 30, Duration::from_secs(10));
}

#[track_caller]
fn try_for(running: &mut Running, text: &str, keys: &str, times: u32, time: Duration) {
    for _ in 0..times {
        press(running, keys);
        let shown = running.wait_for_screen(text, time);
        running.catch_up();
        let tail = running.tail(40);
        if shown.unwrap_or_else(|why| panic!("no screen: {why:#}; the serial line:\n{tail}")) {
            return;
        }
    }
    let screen = running.screen().expect("a screen").join("\n");
    let tail = running.tail(40);
    panic!("no \"{text}\" on\n{screen}\nthe serial line:\n{tail}");
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
    let mut running = boot(
        Keyboard::Ps2,
        Boot {
            initrd: Wanted::PATIENT,
            words: elsewhere,
            append: "rd.earlytimeout=1 console=tty0 no-scroll",
            ..Boot::default()
        },
    );
    see(&mut running, &format!("{PROMPT} or wait"));
    ask(&mut running, "\n", GREETING);
    ask(&mut running, "help\n", "report blk mods");
    press(&running, "reboot\n");
    ends(running, "reboot: Restarting system");
}

/// A keyboard's drivers are behind one that hangs and one that cannot be loaded before it.
fn at_usb_behind_a_module_that_hangs() {
    let mut running = boot(
        Keyboard::Usb,
        Boot {
            kernel: Series::Generic61,
            initrd: Wanted {
                names: &[HANGS, NEEDS, "xhci_pci", "usbhid", "hid_generic"],
                misbehaving: &[HANGS, NEEDS],
                ..Wanted::PATIENT
            },
            words: elsewhere,
            append: "rd.earlytimeout=1 console=tty0 no-scroll",
            ..Boot::default()
        },
    );
    see(&mut running, &format!("{PROMPT} or wait"));
    ask(&mut running, "\n", GREETING);
    press(&running, "poweroff\n");
    ends(running, "reboot: Power down");
}
a_test! { [also] behind_a_module_that_hangs at_usb_behind_a_module_that_hangs() }

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
    read(&mut running, "toehold: breakpoint 1/4 before modules");
    see(&mut running, PROMPT);
    read(&mut running, "QEMU USB Keyboard] on usb-");
    ask(&mut running, "\n", GREETING);
    press(&running, "continue\n");
    see(&mut running, &format!("{PROMPT} or wait"));
    // Its greeting may still be on the screen from the first time; what is asked now is not.
    press(&running, "\n");
    ask(&mut running, "help\n", "report blk mods");
    press(&running, "poweroff\n");
    ends(running, "reboot: Power down");
}
