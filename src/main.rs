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
use stage::modules::Modules;
use stage::{device, kernel_fs, modules, stage2, switch_root, usr, verity};
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
    match boot(&mut journal, arguments) {
        Err(failure) => stage::give_up(&mut journal, &failure),
    }
}

/// The seven stages.
fn boot(journal: &mut Journal, arguments: &Arguments) -> Result<Infallible, Failure> {
    let (line, plan) = kernel_fs::run(journal)?;
    let options = Options::read(line, &plan)?;
    journal.done(Stage::KernelFs);

    let mut modules = Modules::new(plan);
    let mut search = Search::start(&options, &mut modules, journal)?;
    modules::run(&mut search);
    search.journal.done(Stage::Modules);

    let device = device::run(&mut search)?;
    journal.done(Stage::Device);

    let source = verity::run(&options, &device, &mut modules, journal)?;
    journal.done(Stage::Verity);

    usr::run(&options, source, &mut modules, journal)?;
    journal.done(Stage::Usr);

    stage2::run(&options.settings, &mut modules, journal)?;
    journal.done(Stage::Stage2);

    switch_root::run(&options.settings, journal, arguments)
}
