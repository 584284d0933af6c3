//! Stage 2: kernel modules asked for: those always needed, and those that the hardware wants. They load from here on.

use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{self, contents};
use crate::sys::memory::keep;
use crate::sys::netlink::Uevents;
use crate::sys::process;
use toehold::failure::Step;
use toehold::format::plan::{ALWAYS, Key};
use toehold::options::Word;
use toehold::schedule::State;
use toehold::text::{Line, decimal};

pub fn run(boot: &mut Boot) -> Call {
    if boot.children == files::NONE {
        // From now on nothing comes up unnoticed.
        boot.subject = Some(b"uevents");
        boot.step = Step::Socket;
        boot.search.uevents = Uevents::listen()?;
        boot.children = process::watch_children()?;
    }
    boot.schedule.slots = match boot.plan.number(Key::Jobs) {
        Some(jobs) => jobs as usize,
        None => processors(),
    };
    for module in boot.plan.modules() {
        if module.flags & ALWAYS != 0 {
            boot.schedule.ask(module.number, State::NEEDED);
        }
    }
    // Where nothing is said the plan's `always` has it, or it waits until the filesystem is seen.
    let fstype = boot.options.value(Word::Fstype);
    boot.need(keep(b"fs-%", &[fstype]).to_bytes());
    boot.advance();
    boot.coldplug();
    Ok(())
}

/// How many processors there are, from a list like `0-3`.
fn processors() -> usize {
    let mut text = Line::new();
    let online = contents(&mut text, b"/sys/devices/system/cpu/online", &[]);
    let last = online.rsplit(|byte| !byte.is_ascii_digit()).next();
    last.and_then(decimal).unwrap_or(0) as usize + 1
}
