//! Stage 2: kernel modules asked for: those always needed, and those that the hardware wants. They load from here on.

use crate::boot::Boot;
use crate::sys::files::contents;
use crate::sys::memory::keep;
use crate::sys::netlink::Uevents;
use crate::sys::process;
use toehold::failure::{At, Problem, Step};
use toehold::format::plan::{ALWAYS, Key};
use toehold::options::Word;
use toehold::schedule::State;

pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    // From now on nothing comes up unnoticed.
    boot.subject = b"uevents";
    boot.search.uevents = Uevents::listen().at(Step::Socket)?;
    boot.children = process::watch_children().at(Step::Socket)?;
    boot.schedule.slots = match boot.plan.number(Key::Jobs) {
        Some(jobs) => jobs as usize,
        None => process::processors(),
    };
    check_release(boot);
    for module in boot.plan.modules() {
        if module.flags & ALWAYS != 0 {
            boot.schedule.ask(module.number, State::NEEDED);
        }
    }
    // Where nothing is said the plan's `always` has it, or it waits until the filesystem is seen.
    let fstype = boot.options.value(Word::Fstype, b"auto");
    boot.need(keep(b"fs-%", &[fstype]).to_bytes());
    boot.advance();
    boot.coldplug();
    Ok(())
}

/// A kernel takes its own modules only.
fn check_release(boot: &Boot) {
    let mut buffer = [0; 128];
    let running = contents(b"/proc/sys/kernel/osrelease", &[], &mut buffer).trim_ascii_end();
    let planned = boot.plan.text(Key::Release);
    if running != planned {
        boot.journal.log.error(
            b"this is Linux %, the modules are for %: build the initrd again",
            &[running, planned],
        );
    }
}
