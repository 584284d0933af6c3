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
use toehold::text::Line;

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
    let mut last = 0;
    for byte in online {
        let digit = usize::from(byte.wrapping_sub(b'0'));
        last = if digit > 9 { 0 } else { last * 10 + digit };
    }
    last + 1
}
