//! Stage 2: kernel modules asked for: those always needed, and those that the hardware wants. They
//! load from here on.

use crate::machine::outcome::{About, During, Outcome};
use crate::machine::{Machine, events, modules};
use crate::sys::call::Result as Call;
use crate::sys::files::{self, contents};
use crate::sys::memory::intern_format;
use crate::sys::{netlink, process};
use toehold::asked::Word;
use toehold::failure::Step;
use toehold::format::plan::{ALWAYS, Key};
use toehold::schedule::State;
use toehold::text::Line;

pub fn run(machine: &mut Machine) -> Outcome {
    if machine.children == files::NONE {
        // From now on nothing comes up unnoticed.
        listen(machine).during(Step::Socket).about(b"uevents")?;
    }
    machine.schedule.slots = match machine.plan.number(Key::Jobs) {
        Some(jobs) => jobs as usize,
        None => processors(),
    };
    for module in machine.plan.modules() {
        if module.flags & ALWAYS != 0 {
            machine.schedule.ask(module.number, State::NEEDED);
        }
    }
    // The filesystem's module, if the command line names a filesystem. Where it does not, there is
    // no module `fs-auto`; the filesystem is among the plan's `always`, or is loaded when it has
    // been detected.
    let fstype = machine.request.asked.value(Word::Fstype);
    modules::ask(machine, intern_format(b"fs-%", &[fstype]).to_bytes());
    events::advance(machine);
    modules::coldplug(machine);
    Ok(())
}

fn listen(machine: &mut Machine) -> Call {
    machine.children = process::watch_children()?;
    machine.uevents = netlink::listen()?;
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
