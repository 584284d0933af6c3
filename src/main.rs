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
use stage::{Run, device, kernel_fs, modules, stage2, switch_root, usr, verity};
use sys::memory::intern;
use sys::process::{self, Arguments};
use toehold::failure::{Failure, Stage, Step};
use toehold::format::glob;

process::entry!(main, Machine, Machine::NONE);

/// The boot, or the kernel's helper for modules.
fn main(machine: &mut Machine, arguments: Arguments) -> ! {
    machine.start(arguments);
    if glob::matches(b"*modprobe", arguments.first()) {
        let loaded = modprobe::run(machine, arguments.last());
        process::exit(usize::from(loaded.is_err()));
    }
    if process::id() != 1 {
        let text = b"this is the /init of an initramfs: it runs as PID 1 only";
        machine.log.error(text, &[]);
        process::exit(2);
    }
    let Err(failure) = boot(machine);
    rescue::give_up(machine, failure)
}

/// The stages, in their order.
const STAGES: [(Stage, Run); 7] = [
    (Stage::KernelFs, kernel_fs::run),
    (Stage::Modules, modules::run),
    (Stage::Device, device::run),
    (Stage::Verity, verity::run),
    (Stage::Usr, usr::run),
    (Stage::Stage2, stage2::run),
    (Stage::SwitchRoot, switch_root::run),
];

/// Runs the stages, and what they lead to.
#[inline(always)] // size: inline
fn boot(machine: &mut Machine) -> Result<Infallible, Failure> {
    for (stage, run) in &STAGES {
        perform(machine, *stage, *run).map_err(|failure| failure.in_stage(*stage))?;
    }
    Err(hand_over(machine).in_stage(Stage::SwitchRoot))
}

/// Runs one stage, and logs its end.
fn perform(machine: &mut Machine, stage: Stage, run: Run) -> Outcome {
    devices::check_alone(machine)?;
    rescue::stop_before(machine, stage);
    run(machine)?;
    machine.journal.done(&machine.log, stage);
    Ok(())
}

/// Becomes stage 2, with the arguments and the environment of the init. Returns only if that fails.
fn hand_over(machine: &mut Machine) -> Failure {
    let program = intern(switch_root::program(machine));
    rescue::leave_report(machine, Reader::Stage2);
    machine.journal.hand_over(&machine.log, program.to_bytes());
    process::forget_children();
    let error = machine.arguments.execute(program);
    about(Failure::new(Step::Exec, error), program.to_bytes())
}
