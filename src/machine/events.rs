//! The event loop: children that end, devices that come up, and the time that passes.

use super::{Machine, devices, modules};
use crate::sys::call::Result as Call;
use crate::sys::files::{self, poll};
use crate::sys::{clock, process};
use rustix::io::Errno;
use toehold::schedule::State;
use toehold::text::Line;

/// Microseconds without progress after which nothing that runs is waited for, and everything is
/// looked at again.
const STALL: u64 = 5_000_000;

/// Takes in what has happened, and starts what can be started now.
pub fn advance(machine: &mut Machine) {
    devices::receive(machine);
    proceed(machine);
}

/// The same, but for messages about devices: for those who are about to take one in.
pub fn proceed(machine: &mut Machine) {
    if machine.children.read(&mut Line::new()).is_ok() {
        reap(machine);
    }
    modules::load(machine);
}

/// Takes the exit codes of all children that have ended.
fn reap(machine: &mut Machine) {
    while let Some((child, code)) = process::ended() {
        if let Some(index) = machine.schedule.ended(child) {
            modules::settle(machine, index, code.map_or(State::CRASHED, State::of_error));
        } else if child == machine.shell {
            (machine.shell, machine.shell_code) = (0, code.unwrap_or(0));
        } else {
            machine.looking = machine.looking.saturating_sub(1);
        }
    }
}

/// When to stop waiting for what is asked for now.
pub fn deadline(machine: &Machine) -> u64 {
    clock::now().saturating_add(machine.patience.saturating_mul(1_000_000))
}

/// Waits for something to happen, until `deadline` at most. After a while without progress
/// everything is looked at again.
pub fn wait(machine: &mut Machine, deadline: u64) -> Call {
    let now = clock::now();
    if machine.moved {
        machine.moved = false;
        machine.stall = now + STALL;
    }
    if now >= deadline {
        return Err(Errno::TIMEDOUT.into());
    }
    if let Some(index) = machine.schedule.give_up(now) {
        modules::log_one(machine, &machine.log, index);
        return Ok(());
    }
    if now < machine.stall && !machine.lost {
        poll(
            &[machine.uevents, machine.children],
            machine.stall.min(deadline) - now,
        );
        return Ok(());
    }
    machine.lost = false;
    machine.moved = true;
    // Devices are the boot's business: who only loads a module hears and looks at none.
    if machine.uevents != files::NONE {
        modules::coldplug(machine);
    }
    Ok(())
}

/// Loads what is still to be loaded, drivers for people included: before any of them is asked
/// something.
pub fn finish(machine: &mut Machine) {
    machine.schedule.only_needed = false;
    let deadline = clock::now() + 2 * STALL;
    loop {
        advance(machine);
        if !machine.schedule.is_busy() || wait(machine, deadline).is_err() {
            return;
        }
    }
}
