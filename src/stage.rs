//! The stages of the boot, one file each, and what happens when one fails.

pub mod device;
pub mod kernel_fs;
pub mod modules;
pub mod stage2;
pub mod switch_root;
pub mod usr;
pub mod verity;

use crate::journal::Journal;
use crate::sys::{clock, process};
use toehold::failure::Failure;
use toehold::text::{Text, push_number};

/// Says what failed and what was seen, waits, and restarts the machine.
pub fn give_up(journal: &mut Journal, failure: &Failure) -> ! {
    device::report(journal);
    journal.failed(failure);
    let mut text = Text::new();
    push_number(&mut text, journal.restart_after);
    journal.error(&[b"restarting in ", &text, b" s"]);
    clock::sleep(journal.restart_after);
    process::restart();
    journal.error(&[b"the kernel does not restart: switch the machine off"]);
    loop {
        clock::sleep(u32::MAX.into());
    }
}
