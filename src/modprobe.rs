//! `/sbin/modprobe -q -- NAME`: what the kernel runs when it misses a module. Answered from the plan.

use crate::boot::Boot;
use crate::stage::kernel_fs;
use crate::sys::call::Result as Call;
use crate::sys::process;
use crate::sys::trace;
use toehold::failure::Error;

/// Seconds to wait for a module, which somebody else may be loading: who asks may be PID 1, and must not wait for ever.
const PATIENCE: u64 = 30;

/// Loads the modules that `name` stands for, after what they depend on. That there are none is an error, too: it becomes exit
/// code 1, as modprobe's.
pub fn run(boot: &mut Boot, name: &'static [u8]) -> Call {
    trace::stop();
    boot.children = process::watch_children()?;
    kernel_fs::read_plan(boot)?;
    boot.options.timeout = PATIENCE;
    boot.schedule.only_needed = true;
    // It may be: nobody tells.
    boot.crashed = true;
    if !boot.need(name) {
        return Err(Error::REFUSED);
    }
    boot.require(name)
}
