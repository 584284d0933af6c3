//! `rd.earlytrace`: every system call of this process and its children as a line of the log.
//!
//! Until the command line is read nobody knows whether it is wanted: lines are kept so long.

use super::call::*;
use super::clock;
use super::files::{File, NONE, STDIN};
use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_char};
use core::slice::from_raw_parts;
use linux_raw_sys::general::{__NR_execve, __NR_exit_group, __NR_reboot};
use toehold::format::trace::{Call, Memory, describe};
use toehold::text::{Line, push, push_number};

/// A longer line than this is refused by the kernel (LOG_LINE_MAX less its own prefix).
const LINE: usize = 900;

/// What the gate looks at, first: zero while calls are traced.
#[repr(C)]
pub struct Trace {
    off: Cell<bool>,
    /// Where lines go; [`STDIN`] while that is not decided.
    log: Cell<File>,
    file: Cell<File>,
    /// When the last line was written.
    last: Cell<u64>,
    early: UnsafeCell<Line>,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Trace {}

pub static TRACE: Trace = Trace {
    off: Cell::new(false),
    log: Cell::new(STDIN),
    file: Cell::new(STDIN),
    last: Cell::new(0),
    early: UnsafeCell::new(Line::new()),
};

/// The memory of this process.
struct Own;

impl Memory for Own {
    fn bytes(&self, address: usize, len: usize) -> &[u8] {
        // SAFETY: the caller of a system call vouches for its arguments, which this is one of; it lives as long as the call is looked at.
        unsafe { from_raw_parts(address as *const u8, len) }
    }

    fn text(&self, address: usize) -> &[u8] {
        // SAFETY: as above, and it ends with a NUL.
        unsafe { CStr::from_ptr(address as *const c_char) }.to_bytes()
    }
}

/// From now on nothing is traced.
pub fn stop() {
    TRACE.off.set(true);
}

/// What is kept is written to the log, and to `file` too if that is one, and so is all that follows.
pub fn start(log: File, file: File) {
    TRACE.off.set(true);
    TRACE.log.set(log);
    TRACE.file.set(file);
    // SAFETY: one thread, and calls are not traced now.
    let early = unsafe { &*TRACE.early.get() };
    for line in early.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            put(line);
        }
    }
    TRACE.off.set(false);
}

fn put(line: &[u8]) {
    let mut text = Line::new();
    push(&mut text, b"<6>toehold: ");
    push(&mut text, line);
    text.truncate(LINE);
    push(&mut text, b"\n");
    let _ = TRACE.log.get().write(&text);
    if TRACE.file.get() != NONE {
        let (_, line) = text.split_at_checked(3).unwrap_or_default();
        let _ = TRACE.file.get().write(line);
    }
}

/// Makes a call that came through the gate, and writes it down.
///
/// # Safety
/// The arguments must be what the call asks for.
pub unsafe extern "C" fn traced(call: &Call) -> usize {
    TRACE.off.set(true);
    let [number, a, b, c, d, e, f] = *call;
    let before = clock::now();
    let stays = ![__NR_exit_group, __NR_execve, __NR_reboot].contains(&(number as u32));
    if !stays {
        note(call, None, before);
    }
    // SAFETY: the caller's promise.
    let answer = unsafe { value6(number as u32, a, b, c, d, e, f) };
    note(call, Some(answer), before);
    TRACE.off.set(false);
    answer
}

fn note(call: &Call, answer: Option<usize>, before: u64) {
    let (mut line, now) = (Line::new(), clock::now());
    push(&mut line, b"[");
    push_number(&mut line, super::process::id() as u64);
    push(&mut line, b"] +");
    push_number(&mut line, now - TRACE.last.replace(now));
    push(&mut line, b" ");
    describe(&mut line, call, answer, &Own);
    push(&mut line, b" ");
    push_number(&mut line, now - before);
    if TRACE.log.get() != STDIN {
        return put(&line);
    }
    // SAFETY: one thread, and calls are not traced now.
    let early = unsafe { &mut *TRACE.early.get() };
    push(early, &line);
    push(early, b"\n");
}
