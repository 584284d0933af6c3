//! Toehold's init: the boot, top to bottom. Uses everything below it: `rescue`, `stage`, `machine`,
//! `sys` and the library.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod machine;
mod rescue;
mod stage;
mod sys;

use core::convert::Infallible;
use machine::outcome::{Outcome, about};
use machine::{Machine, devices, modprobe};
use rescue::Reader;
use stage::{device, kernel_fs, modules, stage2, switch_root, usr, verity};
use sys::memory::intern;
use sys::process::{self, Arguments};
use toehold::failure::{Failure, Stage, Step};
use toehold::format::glob;
use toehold::format::plan::Key;

process::entry!(main, Machine, Machine::NONE);

/// The boot, or the kernel's helper for modules.
fn main(machine: &mut Machine, arguments: Arguments) -> ! {
    machine.start(arguments);
    if glob::matches(b"*modprobe", arguments.first()) {
        let loaded = modprobe::run(machine, arguments.last());
        process::exit(usize::from(loaded.is_err()));
    }
    if process::id() != 1 {
        let text = b"this /init runs as PID 1 only";
        machine.log.error(text, &[]);
        process::exit(2);
    }
    let Err(failure) = boot(machine);
    rescue::give_up(machine, failure)
}

/// Runs the stages, and what they lead to.
#[inline(always)] // size: inline
fn boot(machine: &mut Machine) -> Result<Infallible, Failure> {
    for stage in Stage::ALL {
        perform(machine, *stage).map_err(|failure| failure.in_stage(*stage))?;
    }
    Err(hand_over(machine).in_stage(Stage::SwitchRoot))
}

/// Runs one stage, and logs its end.
#[inline(never)] // size: inline
fn perform(machine: &mut Machine, stage: Stage) -> Outcome {
    devices::check_alone(machine)?;
    rescue::stop_before(machine, stage);
    match stage {
        Stage::KernelFs => kernel_fs::run(machine),
        Stage::Modules => modules::run(machine),
        Stage::Device => device::run(machine),
        Stage::Verity => verity::run(machine),
        Stage::Usr => usr::run(machine),
        Stage::Stage2 => stage2::run(machine),
        Stage::SwitchRoot => switch_root::run(machine),
    }?;
    machine.journal.done(&machine.log, stage);
    Ok(())
}

/// Becomes stage 2, with the arguments and the environment of the init: these are what the command
/// line has and the kernel does not know, and a locked profile hands none of them on. Returns only
/// if that fails.
fn hand_over(machine: &mut Machine) -> Failure {
    let program = intern(switch_root::program(machine));
    rescue::leave_report(machine, Reader::Stage2);
    machine.journal.hand_over(&machine.log, program.to_bytes());
    process::forget_children();
    let error = match machine.plan.setting(Key::Locked) {
        Some(_) => process::execute_alone(program),
        None => machine.arguments.execute(program),
    };
    about(Failure::new(Step::Exec, error), program.to_bytes())
}
