//! `rd.earlytrace`: every system call of this process and its children as a line of the log.
//!
//! Whether it is wanted is known only when the command line has been read. Lines of the calls
//! before that wait in memory.

use super::call::*;
use super::clock;
use super::log::Log;
use core::cell::{Cell, UnsafeCell};
use linux_raw_sys::general::{__NR_execve, __NR_exit_group, __NR_reboot};
use toehold::format::trace::{Call, describe, push_signed, say};
use toehold::text::{Line, split};

/// The state of the trace. The gate, which is assembly, reads its first byte before every system
/// call.
#[repr(C)]
pub struct Trace {
    /// Zero while calls are traced, so that they are traced from the very first one.
    off: Cell<bool>,
    state: UnsafeCell<State>,
}

struct State {
    /// The log, and perhaps a file besides. Before the log is known, lines wait.
    logs: [Option<Log>; 2],
    /// When the last line was made.
    last: u64,
    /// Lines that wait to be written.
    lines: Line,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Trace {}

pub static TRACE: Trace = Trace {
    off: Cell::new(false),
    state: UnsafeCell::new(State {
        logs: [None; 2],
        last: 0,
        lines: Line::new(),
    }),
};

/// From now on nothing is traced.
pub fn stop() {
    TRACE.off.set(true);
    // SAFETY: one thread, and nobody else looks at it while calls are not traced.
    unsafe { &mut *TRACE.state.get() }.lines.clear();
}

/// From now on every call becomes a line in this log. Lines that waited go there first.
pub fn start(log: Log) {
    TRACE.off.set(true);
    // SAFETY: as above.
    let state = unsafe { &mut *TRACE.state.get() };
    state.logs[0] = Some(log);
    state.write();
    TRACE.off.set(false);
}

/// The same lines go to this one. To be called before [`start`].
pub fn copy_to(log: Log) {
    // SAFETY: as above: nothing is written before the start.
    let state = unsafe { &mut *TRACE.state.get() };
    state.logs[1] = Some(log);
}

impl State {
    fn write(&mut self) {
        for log in self.logs.iter().flatten() {
            for line in split(&self.lines, b'\n') {
                if !line.is_empty() {
                    log.info(b"%", &[line]);
                }
            }
        }
        self.lines.clear();
    }
}

/// Makes a call that came through the gate, and writes it down.
///
/// # Safety
/// The arguments must be what the call asks for.
pub unsafe extern "C" fn traced(call: &Call) -> usize {
    TRACE.off.set(true);
    let before = clock::now();
    let number = call[0] as u32;
    if number == __NR_exit_group || number == __NR_execve || number == __NR_reboot {
        note(call, None, before);
    }
    let [_, a, b, c, d, e, f] = *call;
    // SAFETY: the caller's promise.
    let answer = unsafe { value6(number, a, b, c, d, e, f) };
    note(call, Some(answer), before);
    TRACE.off.set(false);
    answer
}

fn note(call: &Call, answer: Option<usize>, before: u64) {
    // SAFETY: as above.
    let state = unsafe { &mut *TRACE.state.get() };
    let (line, now) = (&mut state.lines, clock::now());
    say(line, b"[");
    push_signed(line, super::process::id());
    say(line, b"] +");
    push_signed(line, (now - state.last) as usize);
    state.last = now;
    say(line, b" ");
    describe(line, call, answer, memory);
    say(line, b" ");
    push_signed(line, (now - before) as usize);
    say(line, b"\n");
    if state.logs[0].is_some() {
        state.write();
    }
}

/// The byte at an address.
fn memory(address: usize) -> u8 {
    // SAFETY: the caller of a system call vouches for its arguments, which this is a part of; it
    // lives as long as the call is looked at.
    unsafe { *(address as *const u8) }
}
