//! Stage 3: the block devices that /usr is on, found when they are there and awaited when they are
//! not.

use crate::machine::outcome::Outcome;
use crate::machine::{Machine, devices, events};
use toehold::failure::Step;

pub fn run(machine: &mut Machine) -> Outcome {
    let deadline = events::deadline(machine);
    loop {
        events::advance(machine);
        let Some(role) = machine.found.lacks(&machine.request) else {
            return Ok(());
        };
        if let Err(error) = events::wait(machine, deadline) {
            return Err(devices::not_found(machine, role, Step::Wait, error));
        }
    }
}
