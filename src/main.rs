//! Toehold's init: the boot, top to bottom.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod boot;
mod console;
mod emergency;
mod journal;
mod loader;
mod modprobe;
mod report;
mod stage;
mod sys;

use boot::Boot;
use core::convert::Infallible;
use stage::{Run, device, kernel_fs, modules, stage2, switch_root, usr, verity};
use sys::process::{self, Arguments};
use toehold::failure::{Error, Stage};
use toehold::format::glob;

/// Called by the entry point: the boot, or the kernel's helper for modules.
fn main(boot: &mut Boot, arguments: Arguments) -> ! {
    boot.start(arguments);
    if glob::matches(b"*modprobe", arguments.first()) {
        let loaded = modprobe::run(boot, arguments.last());
        process::exit(usize::from(loaded.is_err()));
    }
    if process::id() != 1 {
        boot.log.error(
            b"this is the /init of an initramfs: it runs as PID 1 only",
            &[],
        );
        process::exit(2);
    }
    let Err(error) = run(boot);
    boot.give_up(error)
}

/// The stages, and what they lead to.
#[inline(always)] // Measured: smaller so.
fn run(boot: &mut Boot) -> Result<Infallible, Error> {
    for (stage, run) in &STAGES {
        boot.perform(*stage, *run)?;
    }
    Err(boot.execute())
}

/// In their order.
const STAGES: [(Stage, Run); 7] = [
    (Stage::KernelFs, kernel_fs::run),
    (Stage::Modules, modules::run),
    (Stage::Device, device::run),
    (Stage::Verity, verity::run),
    (Stage::Usr, usr::run),
    (Stage::Stage2, stage2::run),
    (Stage::SwitchRoot, switch_root::run),
];
