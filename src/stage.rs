//! The stages of the boot, one file each, what they share, and what happens when one fails.

pub mod device;
pub mod kernel_fs;
pub mod modules;
pub mod stage2;
pub mod switch_root;
pub mod usr;
pub mod verity;

use crate::journal::Journal;
use crate::sys::{clock, process};
use modules::Tried;
use toehold::failure::{Failure, Stage};
use toehold::format::plan::Plan;
use toehold::options::Options;
use toehold::text::{Line, push_number};

/// What the stages share.
pub struct Boot<'a> {
    pub journal: &'a mut Journal,
    pub plan: Plan<'static>,
    pub options: Options,
    tried: Tried,
}

impl<'a> Boot<'a> {
    pub fn new(journal: &'a mut Journal, plan: Plan<'static>, options: Options) -> Self {
        Self {
            journal,
            plan,
            options,
            tried: Tried::default(),
        }
    }

    /// Logs the end of a stage.
    pub fn done(&mut self, stage: Stage) {
        self.journal.done(stage);
    }
}

/// Says what failed and what was seen, waits, and restarts the machine.
pub fn give_up(journal: &Journal, failure: &Failure) -> ! {
    device::report(journal);
    journal.failed(failure);
    let mut text = Line::new();
    push_number(&mut text, journal.restart_after);
    journal.error(&[b"restarting in ", &text, b" s"]);
    clock::sleep(journal.restart_after);
    process::restart();
    journal.error(&[b"the kernel does not restart: switch the machine off"]);
    loop {
        clock::sleep(u32::MAX.into());
    }
}
