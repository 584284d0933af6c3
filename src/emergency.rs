//! Where a person takes over: the breakpoints, what follows a failure, shells, and the boot tried again.

use crate::boot::Boot;
use crate::stage::{modules, stage2, verity};
use crate::sys::call::Result as Call;
use crate::sys::files::{File, NONE, contents, make_directory, open, poll};
use crate::sys::memory::{keep, keep_numbered, keep_one};
use crate::sys::mounts::detach;
use crate::sys::trace;
use crate::sys::{clock, process};
use core::mem;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::{Error, Stage, describe};
use toehold::format::plan::{self, Key};
use toehold::options::{ACTIONS, SHELL, Word};
use toehold::text::{Line, fill, position, push_number, split, word};

/// Words of the command line that were set at the rescue console.
pub const WORDS: &[u8] = b"/run/toehold/set";

/// Exit code of the rescue console: these bits, which hardly any shell leaves with, and those below.
pub const LEFT: usize = 0xE0;
/// Start over.
pub const RETRY: usize = 1;
pub const TRACE_ON: usize = 2;
pub const TRACE_OFF: usize = 4;

/// Longer than anybody waits, in seconds.
const FOREVER: u64 = 1 << 32;
const SECOND: u64 = 1_000_000;

/// How many of the files that are waited for are no consoles.
const OURS: usize = 2;

/// Adds to [`WORDS`], which tell by their being there that the boot is tried again.
pub fn add_words(text: &[u8]) -> Call {
    let _ = make_directory(c"/run/toehold");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    let file = open(keep_one(WORDS), flags)?;
    file.write(text)
}

impl Boot {
    /// Stops before a stage where that is asked for.
    pub fn stop_before(&mut self, stage: Stage) {
        let Some(point) = self.options.breakpoint(stage) else {
            return;
        };
        if self.may_stop() {
            self.schedule.only_attend = stage == Stage::Modules;
            let text = b"breakpoint %/4 before %: leave the shell to go on";
            self.log.error(text, &[&[point], stage.name()]);
            self.attend();
            if let Some(console) = self.ask(FOREVER, b"")
                && self.open_shell(console)
            {
                self.retry();
            }
            self.schedule.only_attend = false;
        }
    }

    /// Says what failed and what was seen, lets a person act, and does what is to follow.
    pub fn give_up(&mut self, error: Error) -> ! {
        let (mut line, step) = (Line::new(), self.step);
        describe(step, error, self.subject(), &mut line);
        let failed = b"FAILED stage=% %";
        self.log.error(failed, &[self.stage.name(), &line]);
        if !step.advice().is_empty() {
            self.log.error(b"%", &[step.advice()]);
        }
        // What comes of it is in the report.
        let log = mem::replace(&mut self.log.file, NONE);
        self.attend();
        self.log.file = log;
        self.report(&self.log, false);
        self.leave_report(false);

        let told = position(ACTIONS, self.options.value(Word::Emergency));
        let planned = self.plan.number(Key::Action).unwrap_or(0) as usize;
        // A locked profile keeps its own, and has refused another.
        let is_locked = self.plan.setting(Key::Locked).is_some();
        let action = if told > SHELL || is_locked {
            planned
        } else {
            told
        };
        let seconds = self.plan.number(Key::PromptSeconds).unwrap_or(60);
        if !self.may_stop() {
            let mut text = Line::new();
            push_number(&mut text, seconds);
            let what = word(ACTIONS, action % SHELL);
            self.log.error(b"% in % seconds", &[what, &text]);
            poll(&[], seconds * SECOND);
        } else if let Some(console) = self.ask(
            if action == SHELL { FOREVER } else { seconds },
            word(ACTIONS, action),
        ) {
            self.open_shell(console);
            self.retry();
        }
        process::end(action)
    }

    /// Loads the drivers that a person at a console needs, however early it is. With them the report is complete.
    fn attend(&mut self) {
        let _ = modules::run(self);
        self.finish();
    }

    /// Whether a person may have a shell.
    fn may_stop(&self) -> bool {
        self.options.value(Word::Shell) != b"0" && self.plan.setting(Key::NoShell).is_none()
    }

    /// Asks at every console for the key that opens a shell there; after so many seconds, `action` follows. Returns the console.
    fn ask(&mut self, seconds: u64, action: &[u8]) -> Option<File> {
        let (mut line, mut text) = (Line::new(), Line::new());
        let mut files = [NONE; 10];
        let [uevents, children, consoles @ ..] = &mut files;
        (*uevents, *children) = (self.search.uevents.0, self.children);
        let active = contents(&mut line, b"/sys/class/tty/console/active", &[]);
        let mut names = split(active, b' ');
        for console in consoles {
            let name = names.next().unwrap_or_default();
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
            *console = open(keep(b"/dev/%", &[name]), flags).unwrap_or(NONE);
        }
        let (template, step): (&[u8], _) = if seconds < FOREVER {
            (
                b"\rPress Enter for emergency shell or wait % seconds for % ",
                SECOND,
            )
        } else {
            (b"\rPress Enter for emergency shell ", FOREVER)
        };
        let end = clock::now() + seconds * SECOND;
        while let Some(left) = end.checked_sub(clock::now()) {
            text.clear();
            push_number(&mut text, left / SECOND + 1);
            line.clear();
            fill(&mut line, template, &[&text, action]);
            for console in files.get_mut(OURS..).unwrap_or_default() {
                let _ = console.write(&line);
                match console.read(&mut text) {
                    Ok(()) if !text.is_empty() => return Some(*console),
                    Err(error) if error.is(Errno::AGAIN) => {}
                    // Nobody is there.
                    _ => *console = NONE,
                }
            }
            poll(&files, left % step + 1);
            self.advance();
        }
        None
    }

    /// Runs a shell, or the rescue console, on a console until the person leaves it. Returns whether to start over.
    fn open_shell(&mut self, console: File) -> bool {
        let child = process::spawn(|| {
            process::forget_children();
            // Opened once more: as a terminal that is waited for.
            if process::take_terminal(keep_numbered(b"/proc/self/fd/%", console.number())).is_ok() {
                self.arguments
                    .execute_shell(keep_one(self.setting(Key::Shell)));
                return crate::console::run(self);
            }
            0
        });
        self.person = child.unwrap_or(0);
        while self.person != 0 {
            poll(&[self.search.uevents.0, self.children], 60 * SECOND);
            self.advance();
        }
        let code = self.left ^ LEFT;
        match code & !RETRY {
            TRACE_ON => trace::start(self.log),
            TRACE_OFF => trace::stop(),
            _ => {}
        }
        code & !(TRACE_ON | TRACE_OFF) == RETRY
    }

    /// Takes down what was set up, and becomes the init that the kernel started. Returns only if there is none any more.
    fn retry(&mut self) {
        if open(plan::PATH, OFlags::RDONLY).is_err() {
            return;
        }
        self.log.info(b"retry", &[]);
        let _ = add_words(b"");
        process::close_all();
        let usr = keep_one(self.setting(Key::Mountpoint));
        for mount in [stage2::ROOT, stage2::IMAGE, stage2::WRITABLE, usr] {
            let _ = detach(mount);
        }
        verity::remove(self);
        self.arguments.start_over();
    }
}
