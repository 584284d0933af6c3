//! Toehold's init: the boot, top to bottom.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod journal;
mod panic;
mod stage;
mod sys;

use core::convert::Infallible;
use journal::Journal;
use stage::device::Search;
use stage::{Boot, device, kernel_fs, modules, stage2, switch_root, usr, verity};
use sys::process::{self, Arguments};
use toehold::failure::{Failure, Stage};
use toehold::options::Options;

/// Called by the entry point.
fn main(arguments: &Arguments) -> ! {
    let mut journal = Journal::start();
    if process::id() != 1 {
        journal.error(&[
            b"this is the first program of an initramfs and works as PID 1 only: \
put it into an initrd as /init (cargo xtask initrd)",
        ]);
        process::exit(2);
    }
    let Err(failure) = boot(&mut journal, arguments);
    stage::give_up(&journal, &failure)
}

/// The seven stages.
fn boot(journal: &mut Journal, arguments: &Arguments) -> Result<Infallible, Failure> {
    let (line, plan) = kernel_fs::run(journal)?;
    let options = Options::read(line, &plan)?;
    let mut boot = Boot::new(journal, plan, options);
    boot.done(Stage::KernelFs);

    let mut search = Search::start()?;
    modules::run(&mut boot, &mut search);
    boot.done(Stage::Modules);

    let device = device::run(&mut boot, &mut search)?;
    boot.done(Stage::Device);

    let source = verity::run(&mut boot, &device)?;
    boot.done(Stage::Verity);

    usr::run(&mut boot, source)?;
    boot.done(Stage::Usr);

    stage2::run(&mut boot)?;
    boot.done(Stage::Stage2);

    switch_root::run(&mut boot, arguments)
}
