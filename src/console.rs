//! The rescue console: what a person can see and do where the initrd has no shell.

use crate::boot::Boot;
use crate::emergency::{LEFT, RETRY, TRACE_OFF, TRACE_ON, add_words};
use crate::journal::Log;
use crate::sys::call::Result as Call;
use crate::sys::files::{NONE, STDOUT, each_entry_of, open};
use crate::sys::memory::{self, keep_one};
use crate::sys::{process, terminal};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::text::{Line, fill};

/// What can be typed, in the order of the numbers below, as `help` shows it.
const COMMANDS: &[u8] = b"help
report
blk
mods
log [N]: the last lines of the kernel's log
ls PATH
cat PATH
mounts
cmdline
load NAME: a module
set NAME=VALUE: for a retry
trace on|off
retry: start over
continue
reboot
poweroff";
const HELP: usize = 0;
const BLK: usize = 2;
const MODS: usize = 3;
const LOG: usize = 4;
const LS: usize = 5;
const CAT: usize = 6;
const MOUNTS: usize = 7;
const CMDLINE: usize = 8;
const LOAD: usize = 9;
const SET: usize = 10;
const TRACE: usize = 11;
const AGAIN: usize = 12;
const CONTINUE: usize = 13;
const REBOOT: usize = 14;

/// Talks to the person at standard input and output. Returns the exit code: [`LEFT`] and what is to be done.
pub fn run(boot: &mut Boot) -> usize {
    // What the report says, it says here.
    boot.log = Log {
        file: STDOUT,
        prefix: Some(b""),
    };
    // They are the parent's.
    boot.search.uevents.0 = NONE;
    boot.options.timeout = 30;
    process::block_signals();
    let greeting = b"toehold rescue console: help lists the commands";
    boot.log.info(greeting, &[]);
    let (mut line, mut history, mut code) = (Line::new(), Line::new(), LEFT);
    while terminal::read_line(&mut line, &mut history).is_some() {
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let name = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        let is_it =
            |command: &[u8]| command.split(|byte| b" :".contains(byte)).next() == Some(name);
        match COMMANDS.split(|byte| *byte == b'\n').position(is_it) {
            _ if name.is_empty() => {}
            None => {
                let unknown = b"%: unknown, help lists the commands";
                boot.log.info(unknown, &[name]);
            }
            Some(AGAIN) => return code | RETRY,
            Some(CONTINUE) => return code,
            Some(TRACE) => {
                let (bit, word): (_, &[u8]) = match argument {
                    b"off" => (TRACE_OFF, b"rd.earlytrace=0"),
                    _ => (TRACE_ON, b"rd.earlytrace"),
                };
                code = LEFT | bit;
                run_one(boot, SET, word);
            }
            Some(command) if command < LOAD => {
                // Interrupted, it ends alone.
                let child = process::spawn(|| {
                    let _ = process::watch_children();
                    run_one(boot, command, argument);
                    0
                });
                let _ = child.map(|child| process::wait_for(child, 0));
            }
            Some(command) => run_one(boot, command, argument),
        }
    }
    code
}

/// Runs a command, and says what failed.
fn run_one(boot: &mut Boot, command: usize, argument: &[u8]) {
    if let Err(error) = perform(boot, command, argument) {
        let mut text = Line::new();
        error.push(&mut text);
        boot.log.info(b"%: %", &[argument, &text]);
    }
}

fn perform(boot: &mut Boot, command: usize, argument: &[u8]) -> Call {
    match command {
        HELP => boot.log.info(COMMANDS, &[]),
        BLK => boot.report(&boot.log, false),
        MODS => {
            cat(b"/proc/modules")?;
            boot.report(&boot.log, false);
        }
        LOG => {}
        LS => {
            let directory = open(
                memory::fill(&mut Line::new(), b"%", &[argument]),
                OFlags::RDONLY,
            )?;
            each_entry_of(directory, &mut |name| {
                boot.log.info(b"%", &[name.to_bytes()])
            });
        }
        CAT => cat(argument)?,
        MOUNTS => cat(b"/proc/mounts")?,
        CMDLINE => cat(b"/proc/cmdline")?,
        LOAD => {
            if !boot.need(argument) {
                return Err(Errno::NOENT.into());
            }
            boot.require(keep_one(argument).to_bytes())?;
        }
        SET => {
            let mut text = Line::new();
            fill(&mut text, b"% ", &[argument]);
            add_words(&text)?;
        }
        REBOOT.. => process::end(command - REBOOT),
        _ => boot.report(&boot.log, true),
    }
    Ok(())
}

/// Copies a file to the terminal.
fn cat(path: &[u8]) -> Call {
    let mut text = Line::new();
    let file = open(memory::fill(&mut text, b"%", &[path]), OFlags::RDONLY)?;
    loop {
        file.read(&mut text)?;
        if text.is_empty() {
            return Ok(());
        }
        STDOUT.write(&text)?;
    }
}
