//! The rescue console: what a person can see and do where the initrd has no shell.

use crate::boot::Boot;
use crate::emergency::{LEFT, RETRY, TRACE_OFF, TRACE_ON, add_words};
use crate::journal::Log;
use crate::report::say_kernel_log;
use crate::sys::call::Result as Call;
use crate::sys::files::{File, NONE, STDOUT, each_entry, open};
use crate::sys::memory::{self, keep_one};
use crate::sys::{process, terminal};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::text::{Line, decimal, fill, position, split};

/// What can be typed, with its arguments, as `help` shows it; the numbers below are places in it.
const COMMANDS: &[u8] = b"help report blk mods log [N] ls PATH cat PATH mounts cmdline load NAME set NAME=VALUE trace on|off \
retry continue reboot poweroff";
/// The first thing that is said, and what whoever types something else is told.
const GREETING: &[u8] = b"toehold rescue console: help lists the commands";
const HELP: usize = 0;
const REPORT: usize = 1;
const BLK: usize = 2;
const MODS: usize = 3;
const LOG: usize = 4;
const LS: usize = 6;
const CAT: usize = 8;
const MOUNTS: usize = 10;
const CMDLINE: usize = 11;
const LOAD: usize = 12;
const SET: usize = 14;
const TRACE: usize = 16;
const AGAIN: usize = 18;
const CONTINUE: usize = 19;
const REBOOT: usize = 20;
const POWEROFF: usize = 21;

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
    boot.log.info(GREETING, &[]);
    let (mut line, mut history, mut code) = (Line::new(), Line::new(), LEFT);
    while terminal::read_line(&mut line, &mut history).is_some() {
        let mut words = split(&line, b' ');
        let name = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        match position(COMMANDS, name) {
            AGAIN => return code | RETRY,
            CONTINUE => return code,
            REBOOT => process::end(0),
            POWEROFF => process::end(1),
            TRACE => {
                let (bit, word): (_, &[u8]) = match argument {
                    b"off" => (TRACE_OFF, b"rd.earlytrace=0"),
                    _ => (TRACE_ON, b"rd.earlytrace"),
                };
                code = LEFT | bit;
                run_one(boot, SET, word);
            }
            command if command < LOAD => {
                // Interrupted, it ends alone.
                let child = process::spawn(|| {
                    let _ = process::watch_children();
                    run_one(boot, command, argument);
                    0
                });
                let _ = child.map(|child| process::wait_for(child, 0));
            }
            command => run_one(boot, command, argument),
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
        BLK => boot.report_devices(&boot.log),
        MODS => {
            cat(b"/proc/modules")?;
            boot.report_modules(&boot.log, false);
        }
        LOG => say_kernel_log(&boot.log, false, decimal(argument).unwrap_or(20) as usize),
        LS => {
            // For what is wrong with it.
            open_to_read(argument)?;
            each_entry(b"%", &[argument], &mut |name| {
                boot.log.info(b"%", &[name]);
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
        REPORT => boot.report(&boot.log, false),
        _ => boot.log.info(GREETING, &[]),
    }
    Ok(())
}

/// Copies a file to the terminal.
fn cat(path: &[u8]) -> Call {
    let (file, mut text) = (open_to_read(path)?, Line::new());
    loop {
        file.read(&mut text)?;
        if text.is_empty() {
            return Ok(());
        }
        STDOUT.write(&text)?;
    }
}

fn open_to_read(path: &[u8]) -> Call<File> {
    open(
        memory::fill(&mut Line::new(), b"%", &[path]),
        OFlags::RDONLY,
    )
}
