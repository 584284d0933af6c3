//! Toehold's init: the boot, top to bottom.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod boot;
mod journal;
mod loader;
mod modprobe;
mod report;
mod stage;
mod sys;

use boot::Boot;
use core::convert::Infallible;
use stage::{device, kernel_fs, modules, stage2, switch_root, usr, verity};
use sys::process::{self, Arguments};
use toehold::failure::{Problem, Stage};

/// Called by the entry point: the boot, or the kernel's helper for modules.
fn main(arguments: &Arguments) -> ! {
    let (called, last) = arguments.ends();
    let mut boot = Boot::new();
    if called.to_bytes().ends_with(b"modprobe") {
        let loaded = modprobe::run(&mut boot, last.to_bytes());
        process::exit(usize::from(!loaded.unwrap_or(false)));
    }
    if process::id() != 1 {
        let log = boot.journal.log;
        log.error(
            b"this is the /init of an initramfs: it runs as PID 1 only",
            &[],
        );
        process::exit(2);
    }
    let Err(problem) = run(&mut boot, arguments);
    boot.give_up(problem)
}

/// The seven stages, and what they lead to.
fn run(boot: &mut Boot, arguments: &Arguments) -> Result<Infallible, Problem> {
    boot.perform(Stage::KernelFs, kernel_fs::run)?;
    boot.perform(Stage::Modules, modules::run)?;
    boot.perform(Stage::Device, device::run)?;
    boot.perform(Stage::Verity, verity::run)?;
    boot.perform(Stage::Usr, usr::run)?;
    boot.perform(Stage::Stage2, stage2::run)?;
    boot.perform(Stage::SwitchRoot, switch_root::run)?;
    Err(boot.execute(arguments))
}
