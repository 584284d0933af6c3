//! The rescue console: what a person can see and do where the initrd has no shell.

use super::report::{self, Reader};
use super::retry::add_words;
use crate::machine::{Machine, modules};
use crate::sys::call::Result as Call;
use crate::sys::files::{File, NONE, STDOUT, each_entry, open_formatted};
use crate::sys::log::Log;
use crate::sys::memory::intern;
use crate::sys::{process, terminal};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::Failure;
use toehold::table::place;
use toehold::text::{Line, decimal, position, push_format, split};
use toehold::{list, table};

/// Exit code of the rescue console: these bits, which hardly any shell leaves with, and those
/// below.
pub const EXIT: usize = 0xE0;
/// Start over.
pub const RETRY: usize = 1;
pub const TRACE_ON: usize = 2;
pub const TRACE_OFF: usize = 4;

table! {
    /// What can be typed, with its arguments, as `help` shows it.
    enum Command [1] {
        Help: "help";
        Report: "report";
        Blk: "blk";
        Mods: "mods";
        Log: "log [N]";
        Ls: "ls PATH";
        Cat: "cat PATH";
        Mounts: "mounts";
        Cmdline: "cmdline";
        Load: "load NAME";
        Set: "set NAME=VALUE";
        Trace: "trace on|off";
        Retry: "retry";
        Continue: "continue";
        Reboot: "reboot";
        Poweroff: "poweroff";
    }
}

const COMMANDS: &[u8] = list!(Command::ROWS, 0, b' ');

impl Command {
    /// Its place among the words of [`COMMANDS`], which is what a name is looked for in.
    const fn place(self) -> usize {
        place(Self::ROWS, 0, self as usize)
    }
}

/// Makes the places of commands constants, so that they can be matched.
macro_rules! places {
    ($($constant:ident $command:ident)+) => {
        $(const $constant: usize = Command::$command.place();)+
    };
}

places! {
    HELP Help
    REPORT Report
    BLK Blk
    MODS Mods
    LOG Log
    LS Ls
    CAT Cat
    MOUNTS Mounts
    CMDLINE Cmdline
    LOAD Load
    SET Set
    TRACE Trace
    AGAIN Retry
    CONTINUE Continue
    REBOOT Reboot
    POWEROFF Poweroff
}

/// The first thing that is said, and the answer to whatever else is typed.
const GREETING: &[u8] = b"toehold rescue console: try help";

/// Talks to the person at standard input and output. Returns the exit code: [`EXIT`] and what is to
/// be done.
pub fn run(machine: &mut Machine, reader: Reader) -> usize {
    // This is another process than the one that boots: its log is the terminal, and uevents are the
    // parent's.
    machine.log = Log::plain(STDOUT);
    machine.uevents = NONE;
    machine.patience = 30;
    process::block_signals();
    machine.log.info(GREETING, &[]);
    let (mut line, mut history, mut code) = (Line::new(), Line::new(), EXIT);
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
                code = EXIT | bit;
                run_one(machine, reader, SET, word);
            }
            command if command < LOAD => {
                // In a process of its own: ^C ends only that.
                let child = process::spawn(|| {
                    let _ = process::watch_children();
                    run_one(machine, reader, command, argument);
                    0
                });
                let _ = child.map(|child| process::wait_for(child, 0));
            }
            command => run_one(machine, reader, command, argument),
        }
    }
    code
}

/// Runs a command, and says why it failed.
fn run_one(machine: &mut Machine, reader: Reader, command: usize, argument: &[u8]) {
    if let Err(error) = perform(machine, reader, command, argument) {
        let mut text = Line::new();
        error.push(&mut text);
        machine.log.info(b"%: %", &[argument, &text]);
    }
}

fn perform(machine: &mut Machine, reader: Reader, command: usize, argument: &[u8]) -> Call {
    let log = machine.log;
    match command {
        HELP => machine.log.info(COMMANDS, &[]),
        BLK => report::devices(machine, &log, reader),
        MODS => {
            cat(b"/proc/modules")?;
            report::modules(machine, &machine.log, reader);
        }
        LOG => report::kernel_log(
            &machine.log,
            false,
            decimal(argument).unwrap_or(20) as usize,
        ),
        LS => {
            // Listing a directory tells no error: opening it first does.
            open_to_read(argument)?;
            each_entry(b"%", &[argument], &mut |name| {
                machine.log.info(b"%", &[name]);
            });
        }
        CAT => cat(argument)?,
        MOUNTS => cat(b"/proc/mounts")?,
        CMDLINE => cat(b"/proc/cmdline")?,
        LOAD => {
            if !modules::ask(machine, argument) {
                return Err(Errno::NOENT.into());
            }
            modules::require(machine, intern(argument).to_bytes()).map_err(Failure::error)?;
        }
        SET => {
            let mut text = Line::new();
            push_format(&mut text, b"% ", &[argument]);
            add_words(&text)?;
        }
        REPORT => report::write(machine, &log, reader),
        _ => machine.log.info(GREETING, &[]),
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
    open_formatted(b"%", &[path], OFlags::RDONLY)
}
