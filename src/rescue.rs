//! What follows a failure or a breakpoint, and where a person takes over. Uses `stage`, `machine`,
//! `sys` and the library.
//!
//! # The states after a failure
//!
//! A stage that fails ends the boot; nothing is tried again by itself. From then on the machine is
//! in one of these states:
//!
//! 1. **Reported.** `FAILED stage=… step=… errno=… subject=…` and what to do about it are in the
//!    log. Drivers that a person at a console needs are loaded, for ten seconds at most. Then the
//!    report says what was seen, in the log and in `/run/toehold/report`.
//! 2. **Prompt.** `Press Enter for emergency shell or wait 60 seconds for reboot`, on every console
//!    that the kernel has, and the seconds are counted there ([`prompt`]). How many there are, and
//!    what follows, says the profile (`emergency.prompt_seconds`, `emergency.action`) or the
//!    command line (`rd.emergency=`). With the action `shell` the prompt waits for ever, unless
//!    there is no console that could answer. What was typed before it is no answer. Modules
//!    are loaded and devices come up meanwhile. Where no shell may be had (`emergency.shell =
//!    false`, `rd.shell=0`) nobody is asked: the seconds pass, and 5. follows.
//! 3. **Shell.** What was typed at one console opens the shell there: the initrd's, or the rescue
//!    console of the init itself ([`console`]), in a process of its own. The init goes on loading
//!    modules, and waits as long as the person stays.
//! 4. **Retry.** The person has left: what was set up is taken down, and the init starts over, as
//!    the kernel started it, with the words that were set at the console behind the command line.
//!    If that cannot be, because the initramfs is empty already, 5. follows.
//! 5. **The end.** Nobody came until the time-out, or nothing can be tried again: reboot, power
//!    off, halt or panic.
//!
//! A *breakpoint* (`rd.earlyshell`) is a prompt without a time-out before a stage. After its shell
//! the boot goes on, unless the person asked for a retry.

mod console;
mod prompt;
mod report;
mod retry;

use crate::machine::Machine;
use crate::machine::events;
use crate::machine::outcome::describe;
use crate::stage;
use crate::sys::files::{NONE, poll, write_file};
use crate::sys::process;
use core::mem;
use prompt::{FOREVER, SECOND, may_ask, open_shell, prompt_seconds};
pub use report::{Reader, leave as leave_report};
use retry::retry;
use toehold::asked::{ACTIONS, SHELL, Word};
use toehold::failure::{Failure, Stage};
use toehold::format::plan::Key;
use toehold::text::{Line, position, push_number, word};

/// Stops before a stage where that is asked for.
pub fn stop_before(machine: &mut Machine, stage: Stage) {
    let Some(point) = machine.request.asked.breakpoint(stage) else {
        return;
    };
    if may_ask(machine) {
        machine.schedule.only_attend = stage == Stage::Modules;
        let text = b"breakpoint %/4 before %: leave the shell to go on";
        machine.log.error(text, &[&[point], stage.name()]);
        load_console_drivers(machine);
        let reader = Reader::person(stage as u8 > Stage::Verity as u8);
        if let Some(console) = prompt::ask(machine, FOREVER, b"")
            && open_shell(machine, console, reader)
        {
            retry(machine);
        }
        machine.schedule.only_attend = false;
    }
}

/// Says what failed and what was seen, lets a person act, and does what is to follow: see the
/// [states](self).
pub fn give_up(machine: &mut Machine, failure: Failure) -> ! {
    // Whatever the command line has made of the consoles' level: this is to be read there.
    let _ = write_file(c"/proc/sys/kernel/printk", b"7\n");
    let mut line = Line::new();
    describe(failure, &mut line);
    let failed = b"FAILED stage=% %";
    machine.log.error(failed, &[failure.stage(), &line]);
    let advice = failure.advice();
    if !advice.is_empty() {
        machine.log.error(advice, &[]);
    }
    // What becomes of these modules is in the report.
    let log = mem::replace(&mut machine.log.file, NONE);
    load_console_drivers(machine);
    machine.log.file = log;
    let log = machine.log;
    let reader = Reader::person(failure.is_after(Stage::Device));
    report::write(machine, &log, reader);
    leave_report(machine, reader);

    let action = action(machine);
    let seconds = prompt_seconds(machine);
    if !may_ask(machine) {
        announce(machine, action, seconds);
        poll(&[], seconds * SECOND);
    } else if let Some(console) = prompt::ask(
        machine,
        if action == SHELL { FOREVER } else { seconds },
        word(ACTIONS, action),
    ) {
        open_shell(machine, console, reader);
        retry(machine);
    }
    process::end(action)
}

/// What is to follow a failure, as a place in [`ACTIONS`].
fn action(machine: &Machine) -> usize {
    let asked = position(ACTIONS, machine.request.asked.value(Word::Emergency));
    let planned = machine.plan.number(Key::Action).unwrap_or(0) as usize;
    // A locked profile's own counts; another one was refused.
    let is_locked = machine.plan.setting(Key::Locked).is_some();
    if asked > SHELL || is_locked {
        planned
    } else {
        asked
    }
}

/// Says what follows where nobody is asked, and by whose word: the profile's, or what `rd.shell=`
/// has, which may be neither yes nor no.
fn announce(machine: &Machine, action: usize, seconds: u64) {
    let mut text = Line::new();
    push_number(&mut text, seconds);
    let whose = match machine.plan.setting(Key::NoShell) {
        Some(_) => b"profile",
        None => machine.request.asked.value(Word::Shell),
    };
    machine.log.error(
        b"% in % seconds, no shell: %",
        &[word(ACTIONS, action % SHELL), &text, whose],
    );
}

/// Loads the drivers that a person at a console needs, however early it is. With them the report is
/// complete.
#[inline(always)] // size: inline
fn load_console_drivers(machine: &mut Machine) {
    let _ = stage::modules::run(machine);
    events::finish(machine);
}
