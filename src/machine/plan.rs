//! The initrd's plan, read and checked.

use super::Machine;
use super::outcome::{About, During, Outcome, refused};
use crate::sys::memory::intern_file;
use toehold::failure::Step;
use toehold::format::plan::{self, ABSENT};
use toehold::schedule::State;

pub fn read(machine: &mut Machine) -> Outcome {
    let plan = intern_file(plan::PATH).during(Step::Plan);
    plan.and_then(|plan| {
        let opened = machine.plan.open(plan);
        opened.map_err(|_| refused(Step::Plan))
    })
    .about(plan::PATH.to_bytes())?;
    for module in machine.plan.modules() {
        if module.flags & ABSENT != 0 {
            machine.schedule.settle(module.number, State::ABSENT);
        }
    }
    Ok(())
}
