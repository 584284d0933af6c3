//! Kernel modules: asked for by the boot and by hardware, loaded by child processes, and what
//! became of each.

use super::outcome::{About, During, Outcome};
use super::{Machine, devices, events, pack};
use crate::sys::call::Result as Call;
use crate::sys::files::{contents, each_entry};
use crate::sys::log::Log;
use crate::sys::memory::intern_format;
use crate::sys::{clock, modules, process};
use rustix::io::Errno;
use toehold::failure::{Error, Failure, Step};
use toehold::format::plan::{ALWAYS, GROUP, Key, Module};
use toehold::schedule::State;
use toehold::text::{Line, push, push_number};

/// Starts the loading of what can be loaded now, each module in a child of its own, and each group
/// of the module pack, too.
pub fn load(machine: &mut Machine) {
    while let Some(module) = machine.schedule.next(&machine.plan) {
        match process::spawn(|| load_one(machine, &module).map_or_else(Error::number, |()| 0)) {
            Ok(child) => machine.schedule.started(module.number, child, clock::now()),
            Err(error) => {
                settle(machine, module.number, State::of_error(error.number()));
                if machine.schedule.is_busy() {
                    // Tried again when one that is being loaded has made room.
                    return machine.schedule.settle(module.number, State::NEEDED);
                }
            }
        }
    }
}

#[inline(never)] // size: inline
fn load_one(machine: &mut Machine, module: &Module) -> Call {
    let plan = &machine.plan;
    if module.flags & GROUP != 0 {
        return pack::unpack(plan, module, &mut machine.tables);
    }
    let suffix = plan.text(Key::Suffix);
    let is_locked = plan.setting(Key::Locked).is_some();
    modules::load(
        module.name,
        suffix,
        module.options,
        is_locked,
        machine.crashed,
    )
}

/// Loads what the boot itself needs, by a module's name or by an alias, as the kernel would ask
/// modprobe for it. What the plan does not have is built into the kernel, or will be missed by
/// whoever needs it.
pub fn require(machine: &mut Machine, name: &'static [u8]) -> Outcome {
    await_loaded(machine, name).about(name)
}

fn await_loaded(machine: &mut Machine, name: &[u8]) -> Outcome {
    let deadline = events::deadline(machine);
    ask(machine, name);
    loop {
        events::advance(machine);
        let (mut waiting, mut loaded, mut worst) = (false, false, State::UNASKED);
        machine
            .plan
            .resolve(name, &mut |index| match machine.schedule.state(index) {
                State::LOADED => loaded = true,
                state if state.is_settled() => worst = state,
                _ => waiting = true,
            });
        if !waiting && (loaded || worst == State::UNASKED) {
            return Ok(());
        }
        if !waiting {
            let error = Error::from_number(worst.error());
            return Err(Failure::new(Step::Module, error));
        }
        events::wait(machine, deadline).during(Step::Wait)?;
    }
}

/// Waits for the modules that every boot loads, five seconds for each at most: in the root nothing
/// may load them.
pub fn await_always(machine: &mut Machine) {
    machine.patience = 5;
    let plan = machine.plan;
    for module in plan.modules() {
        if module.flags & ALWAYS != 0 {
            let _ = await_loaded(machine, module.name);
        }
    }
}

/// Loads the module of a filesystem.
pub fn require_filesystem(machine: &mut Machine, name: &[u8]) -> Outcome {
    require(machine, intern_format(b"fs-%", &[name]).to_bytes())
}

/// Asks for a module that the boot itself needs; does not wait for it. Returns whether the plan has
/// it.
pub fn ask(machine: &mut Machine, name: &[u8]) -> bool {
    let mut known = false;
    machine.plan.resolve(name, &mut |index| {
        known = true;
        machine.schedule.ask(index, State::NEEDED);
    });
    known
}

/// Looks at everything that is there: block devices, and what asks for drivers through a `modalias`
/// below /sys/bus or at the two places outside it.
pub fn coldplug(machine: &mut Machine) {
    devices::scan(machine);
    match_file(machine, b"/sys/devices/system/cpu/modalias", &[]);
    match_file(machine, b"/sys/class/dmi/id/modalias", &[]);
    each_entry(b"/sys/bus", &[], &mut |bus| {
        each_entry(b"/sys/bus/%/devices", &[bus], &mut |device| {
            match_file(machine, b"/sys/bus/%/devices/%/modalias", &[bus, device]);
        });
    });
}

/// As [`match_modalias`], with what stands in a file.
fn match_file(machine: &mut Machine, path: &[u8], parts: &[&[u8]]) {
    match_modalias(machine, contents(&mut Line::new(), path, parts));
}

/// Asks for the drivers of hardware with this modalias, and starts what can be started.
pub fn match_modalias(machine: &mut Machine, modalias: &[u8]) {
    let mut news = false;
    machine.plan.lookup(modalias, &mut |index| {
        news |= machine.schedule.state(index) != State::BARRED
            && machine.schedule.ask(index, State::WANTED);
    });
    if news {
        events::proceed(machine);
    }
}

/// Notes what became of a module, and logs it unless it is loaded.
pub fn settle(machine: &mut Machine, index: usize, state: State) {
    machine.moved = true;
    machine.crashed |= state == State::CRASHED;
    machine.schedule.settle(index, state);
    // No such device: the driver looked for its hardware and found none.
    if state != State::LOADED && state.error() != Errno::NODEV.raw_os_error() as usize {
        log_one(machine, &machine.log, index);
    }
}

/// Logs how the module with this number stands.
pub fn log_one(machine: &Machine, log: &Log, index: usize) {
    for module in machine.plan.modules() {
        if module.number == index {
            log_state(machine, log, &module);
        }
    }
}

/// Logs how a module stands.
pub fn log_state(machine: &Machine, log: &Log, module: &Module) {
    let mut text = Line::new();
    let state = machine.schedule.state(module.number);
    state.push(&mut text);
    if matches!(state, State::LOADING | State::SLOW) {
        push(&mut text, b" (");
        push_number(&mut text, machine.schedule.age(module.number, clock::now()));
        push(&mut text, b" s)");
    }
    log.error(b"module %: %", &[module.name, &text]);
}
