//! The prompt on every console, and the shell that it opens.

use super::console;
use super::report::Reader;
use crate::machine::{Machine, events};
use crate::sys::files::{File, NONE, contents, open, poll};
use crate::sys::memory::{intern, intern_format, intern_numbered};
use crate::sys::{clock, process, terminal, trace};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::asked::Word;
use toehold::format::plan::Key;
use toehold::text::{Line, push_format, push_number, split};

/// Longer than anybody waits, in seconds.
pub const FOREVER: u64 = 1 << 32;
/// In microseconds.
pub const SECOND: u64 = 1_000_000;

/// How many of the files that are waited for are no consoles: those about devices and about
/// children.
const OURS: usize = 2;

/// Whether a person may have a shell.
pub fn may_ask(machine: &Machine) -> bool {
    machine.request.asked.boolean(Word::Shell) == Some(true)
        && machine.plan.setting(Key::NoShell).is_none()
}

/// How long it is waited for a person.
pub fn prompt_seconds(machine: &Machine) -> u64 {
    machine.plan.number(Key::PromptSeconds).unwrap_or(60)
}

/// Asks at every console for the key that opens a shell there; after so many seconds, `action`
/// follows. Returns the console.
pub fn ask(machine: &mut Machine, seconds: u64, action: &[u8]) -> Option<File> {
    let (mut line, mut text) = (Line::new(), Line::new());
    let mut files = [NONE; 10];
    let [uevents, children, consoles @ ..] = &mut files;
    (*uevents, *children) = (machine.uevents, machine.children);
    let active = contents(&mut line, b"/sys/class/tty/console/active", &[]);
    let mut names = split(active, b' ');
    for console in consoles {
        let name = names.next().unwrap_or_default();
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        *console = open(intern_format(b"/dev/%", &[name]), flags).unwrap_or(NONE);
        // A key that was pressed before anybody was asked is no answer.
        terminal::flush(*console);
    }
    let (template, step): (&[u8], _) = if seconds < FOREVER {
        (
            b"\rPress Enter for emergency shell or wait % seconds for % ",
            SECOND,
        )
    } else {
        (b"\rPress Enter for emergency shell ", FOREVER)
    };
    let mut end = clock::now() + seconds * SECOND;
    while let Some(remaining) = end.checked_sub(clock::now()) {
        text.clear();
        push_number(&mut text, remaining / SECOND + 1);
        line.clear();
        push_format(&mut line, template, &[&text, action]);
        let consoles = files.get_mut(OURS..).unwrap_or_default();
        for console in &mut *consoles {
            let _ = console.write(&line);
            match console.read(&mut text) {
                Ok(()) if !text.is_empty() => return Some(*console),
                Err(error) if error.is(Errno::AGAIN) => {}
                // This console has gone: nobody is asked there any more.
                _ => *console = NONE,
            }
        }
        let mut pause = remaining % step + 1;
        if consoles.iter().all(|console| *console == NONE) {
            // Nobody can answer: not even a prompt without a time-out waits for ever.
            end = end.min(clock::now() + prompt_seconds(machine) * SECOND);
            pause = SECOND;
        }
        poll(&files, pause);
        events::advance(machine);
    }
    None
}

/// Runs a shell, or the rescue console, on a console until the person leaves it. Returns whether to
/// start over.
pub fn open_shell(machine: &mut Machine, console: File, reader: Reader) -> bool {
    let child = process::spawn(|| {
        process::forget_children();
        // Opened again, without O_NONBLOCK: a shell waits for what is typed.
        let path = intern_numbered(b"/proc/self/fd/%", console.number());
        if process::take_terminal(path).is_ok() {
            let shell = intern(machine.plan.text(Key::Shell));
            machine.arguments.execute_shell(shell);
            return console::run(machine, reader);
        }
        0
    });
    machine.shell = child.unwrap_or(0);
    while machine.shell != 0 {
        poll(&[machine.uevents, machine.children], 60 * SECOND);
        events::advance(machine);
    }
    let code = machine.shell_code ^ console::EXIT;
    match code & !console::RETRY {
        console::TRACE_ON => trace::start(machine.log),
        console::TRACE_OFF => trace::stop(),
        _ => {}
    }
    code & !(console::TRACE_ON | console::TRACE_OFF) == console::RETRY
}
