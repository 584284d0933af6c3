//! System calls as strace(1) writes them: `name(arguments) = result`.
//!
//! Source: the manual pages of the calls; the kernel's include/uapi/linux/{dm-ioctl,loop,fs}.h.

mod tables;
#[cfg(test)]
mod tests;

use crate::failure::ERRNO_NAMES;
use crate::text::{Line, named, push, push_hex, push_named, push_number};
use linux_raw_sys::general::AT_FDCWD;
use tables::{CALLS, FLAGS, MODULUS, OPEN, REQUESTS, base};

/// What the kernel gets: the call's number, and six arguments, of which a call takes the first.
pub type Call = [usize; 7];

/// Of paths, tables and other texts so many bytes are shown, and of data.
const TEXT: usize = 600;
const DATA: usize = 64;
/// The last values that a call can return are errors.
const ERRORS: usize = 4095;

/// Errors that calls may meet and a boot does not fail with, as [`ERRNO_NAMES`]. (EPIPE cannot be: its number is the space.)
const MORE_ERRNO_NAMES: &[u8] = b"\x04EINTR \x09EBADF \x0AECHILD \x0EEFAULT \x18EMFILE \x19ENOTTY \x1DESPIPE \"ERANGE $ENAMETOOLONG iENOBUFS";

/// Appends a call and what it returned; `None`: it does not return. `memory` is the byte at an address that the call was given.
pub fn describe(
    line: &mut Line,
    call: &Call,
    answer: Option<usize>,
    memory: impl Fn(usize) -> u8 + Copy,
) {
    let [number, arguments @ ..] = call;
    let (mut marks, mut arguments) = match named(CALLS, *number % MODULUS) {
        Some(known) => (known, arguments.as_slice()),
        // As syscall(2) takes it.
        None => (b"syscall!!!!!!!".as_slice(), call.as_slice()),
    };
    let mut between: &[u8] = b"(";
    let mut structure = 0;
    while let Some((mark, rest)) = marks.split_first() {
        marks = rest;
        if !matches!(mark, b'!'..=b'/' | b':'..=b'@') {
            push(line, &[*mark]);
            if *mark == b'}' {
                structure = 0;
            }
            continue;
        }
        push(line, between);
        between = b", ";
        let mut argument = 0;
        if structure == 0 {
            if let Some((first, others)) = arguments.split_first() {
                (argument, arguments) = (*first, others);
            }
        } else if let Some((place, others)) = marks.split_first() {
            argument = structure + usize::from(place - b'0') * 8;
            marks = others;
        }
        let next = arguments.first().copied().unwrap_or(0);
        let number = |len: usize| {
            let bytes = (argument..argument + len).rev().map(memory);
            bytes.fold(0, |number, byte| number << 8 | usize::from(byte))
        };
        match mark {
            b':'..=b'@' => push_flags(line, *mark, argument),
            b',' => {
                marks = named(REQUESTS, argument & 0xFF).unwrap_or_else(|| {
                    push_signed(line, argument);
                    b"!"
                });
            }
            b'.' => {}
            b'%' if argument as i32 == AT_FDCWD => push(line, b"AT_FDCWD"),
            b'!' | b'%' => push_signed(line, argument),
            _ if argument == 0 => push(line, b"NULL"),
            b'*' => push_signed(line, number(4) as i32 as usize),
            b'/' => push_signed(line, number(8)),
            b'(' => {
                push(line, b"{");
                between = b"";
                structure = argument;
            }
            b'\'' => push_quoted(line, argument, usize::MAX, memory),
            b'+' => push_quoted(line, argument, next, memory),
            b'-' if answer <= Some(next) => {
                push_quoted(line, argument, answer.unwrap_or(0), memory);
            }
            _ => push(line, b"..."),
        }
    }
    push(line, b") = ");
    match answer {
        None => push(line, b"?"),
        Some(answer) if answer.wrapping_neg().wrapping_sub(1) < ERRORS => {
            let number = answer.wrapping_neg();
            match named(ERRNO_NAMES, number).or_else(|| named(MORE_ERRNO_NAMES, number)) {
                Some(name) => push(line, name),
                None => push_signed(line, answer),
            }
        }
        Some(answer) => push_signed(line, answer),
    }
}

/// Appends a number that may stand for a negative one.
fn push_signed(line: &mut Line, number: usize) {
    let number = number as isize;
    if number < 0 {
        push(line, b"-");
    }
    push_number(line, number.unsigned_abs() as u64);
}

/// Appends so many bytes, or what ends with a NUL.
fn push_quoted(line: &mut Line, address: usize, len: usize, memory: impl Fn(usize) -> u8) {
    push(line, b"\"");
    let shown = if len == usize::MAX { TEXT } else { DATA };
    for place in 0..len {
        let byte = memory(address + place);
        if len == usize::MAX && byte == 0 {
            break;
        }
        if place == shown {
            push(line, b"\"...");
            return;
        }
        if matches!(byte, b'"' | b'\\') || !matches!(byte, b' '..=b'~') {
            push(line, b"\\x");
            push_hex(line, &[byte]);
        } else {
            push(line, &[byte]);
        }
    }
    push(line, b"\"");
}

fn push_flags(line: &mut Line, mark: u8, flags: usize) {
    let mut flags = flags;
    if mark == OPEN {
        flags = flags & !3 | 1 << (flags & 3);
    }
    if flags == 0 {
        push(line, b"0");
    }
    let mut between: &[u8] = b"";
    for bit in 0..32 {
        if flags >> bit & 1 != 0 {
            push(line, between);
            between = b"|";
            push_named(line, FLAGS, usize::from(base(mark)) + bit, 1 << bit);
        }
    }
}
