//! `/sbin/modprobe -q -- NAME`: what the kernel runs when it misses a module. Answered from the
//! plan.

use super::outcome::{During, Outcome, refused};
use super::{Machine, modules, plan};
use crate::sys::files::contents;
use crate::sys::{process, trace};
use toehold::failure::Step;
use toehold::text::{Line, decimal};

/// The kernel has died somewhere: its Documentation/admin-guide/tainted-kernels.rst.
const DIED: u64 = 1 << 7;

/// Seconds to wait for a module that another process may be loading. The kernel's request may come
/// from PID 1 itself, which must not wait for ever.
const PATIENCE: u64 = 30;

/// Loads the modules that `name` stands for, after what they depend on. That there are none is an
/// error, too: it becomes exit code 1, as modprobe's.
pub fn run(machine: &mut Machine, name: &'static [u8]) -> Outcome {
    trace::stop();
    machine.children = process::watch_children().during(Step::Socket)?;
    plan::read(machine)?;
    machine.patience = PATIENCE;
    machine.schedule.only_needed = true;
    // Whether the init function of a module has crashed before: the kernel knows.
    let mut tainted = Line::new();
    let tainted = contents(&mut tainted, b"/proc/sys/kernel/tainted", &[]);
    machine.crashed = decimal(tainted).unwrap_or(0) & DIED != 0;
    if !modules::ask(machine, name) {
        return Err(refused(Step::Module));
    }
    modules::require(machine, name)
}
