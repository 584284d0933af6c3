//! System calls as strace(1) writes them: `name(arguments) = result`.
//!
//! Source: the manual pages of the calls; the kernel's include/uapi/linux/{dm-ioctl,loop,fs}.h.

mod tables;
#[cfg(test)]
mod tests;

use crate::failure::errno_name;
use crate::text::{Line, placed, push, push_hex, push_number, push_placed};
use linux_raw_sys::general::AT_FDCWD;
use tables::{CALLS, FLAGS, OPEN, REQUESTS, base, call_place, request_place};

/// What the kernel gets: the call's number, and six arguments, of which a call takes the first.
pub type Call = [usize; 7];

/// So many bytes are shown of paths, tables and other texts …
const TEXT: usize = 600;
/// … and so many of data.
const DATA: usize = 64;

/// Appends a call and what it returned; `None`: it does not return. `memory` is the byte at an
/// address that the call was given.
pub fn describe(
    line: &mut Line,
    call: &Call,
    answer: Option<usize>,
    memory: impl Fn(usize) -> u8 + Copy,
) {
    let (mut marks, mut place) = marks_of(call);
    let at = |place| call.get(place).copied().unwrap_or(0);
    let (mut between, mut structure): (&[u8], _) = (b"(", 0);
    while let Some((&mark, rest)) = marks.split_first() {
        marks = rest;
        if !matches!(mark, b'!'..=b'/' | b':'..=b'@') {
            say(line, &[mark]);
            structure *= usize::from(mark != b'}');
            continue;
        }
        say(line, between);
        between = b", ";
        let mut argument = at(place);
        if structure == 0 {
            place += 1;
        } else if let Some((unit, others)) = marks.split_first() {
            argument = structure + usize::from(unit - b'!') * 4;
            marks = others;
        }
        let next = at(place);
        let number = |len| number_at(argument, len, memory);
        match mark {
            b')' | b':'.. => {
                if structure != 0 {
                    argument = number(4);
                }
                push_flags(line, mark, argument);
            }
            b',' => {
                marks = placed(REQUESTS, request_place(argument)).unwrap_or_else(|| {
                    push_signed(line, argument);
                    b"!"
                });
            }
            b'.' => {}
            b'!' if argument as i32 == AT_FDCWD => say(line, b"AT_FDCWD"),
            b'!' => push_signed(line, argument),
            _ if argument == 0 => say(line, b"NULL"),
            b'$' | b'(' => push_signed(line, number(usize::from(mark & 15))),
            b'*' => {
                say(line, b"{");
                between = b"";
                structure = if structure == 0 { argument } else { number(8) };
            }
            b'\'' => push_quoted(line, argument, usize::MAX, memory),
            b'+' => push_quoted(line, argument, next, memory),
            b'-' if answer <= Some(next) => {
                push_quoted(line, argument, answer.unwrap_or(0), memory)
            }
            _ => say(line, b"..."),
        }
    }
    push_result(line, answer);
}

/// What stands in [`CALLS`] for a call, and the place of its first argument. A call that is not
/// there is written as syscall(2) takes it.
#[inline(always)] // size: inline
fn marks_of(call: &Call) -> (&'static [u8], usize) {
    match placed(CALLS, call_place(call[0])) {
        Some(marks) => (marks, 1),
        None => (b"syscall!!!!!!!", 0),
    }
}

/// The number of so many bytes at an address.
fn number_at(address: usize, len: usize, memory: impl Fn(usize) -> u8) -> usize {
    let bytes = (address..address + len).rev().map(memory);
    bytes.fold(0, |number, byte| number << 8 | usize::from(byte))
}

/// Appends what a call returned.
fn push_result(line: &mut Line, answer: Option<usize>) {
    say(line, b") = ");
    let Some(answer) = answer else {
        return say(line, b"?");
    };
    // Errors are returned as negative numbers, which no other result is.
    let number = answer.wrapping_neg();
    match errno_name(number) {
        Some(name) => say(line, name),
        None => push_signed(line, answer),
    }
}

/// Appends a number that may stand for a negative one.
pub fn push_signed(line: &mut Line, number: usize) {
    let number = number as isize;
    if number < 0 {
        say(line, b"-");
    }
    push_number(line, number.unsigned_abs() as u64);
}

/// Appends so many bytes, or what ends with a NUL.
fn push_quoted(line: &mut Line, address: usize, len: usize, memory: impl Fn(usize) -> u8) {
    say(line, b"\"");
    let shown = if len == usize::MAX { TEXT } else { DATA };
    for place in 0..len {
        let byte = memory(address + place);
        if len == usize::MAX && byte == 0 {
            break;
        }
        if place == shown {
            say(line, b"\"...");
            return;
        }
        if matches!(byte, b'"' | b'\\') || !matches!(byte, b' '..=b'~') {
            say(line, b"\\x");
            push_hex(line, &[byte]);
        } else {
            say(line, &[byte]);
        }
    }
    say(line, b"\"");
}

fn push_flags(line: &mut Line, mark: u8, flags: usize) {
    let mut flags = flags as u32;
    if mark == OPEN {
        flags = flags & !3 | 1 << (flags & 3);
    }
    if flags == 0 {
        say(line, b"0");
    }
    while flags != 0 {
        let bit = flags.trailing_zeros();
        push_placed(
            line,
            FLAGS,
            usize::from(base(mark)) + bit as usize,
            1 << bit,
        );
        flags &= flags - 1;
        if flags != 0 {
            say(line, b"|");
        }
    }
}

/// As [`push`]. It exists because `push` is inlined into it once instead of at every call here.
pub fn say(line: &mut Line, text: &[u8]) {
    push(line, text);
}
