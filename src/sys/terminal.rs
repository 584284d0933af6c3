//! Lines that are typed, and edited by us.

use super::call::*;
use super::files::{File, STDIN, STDOUT};
use linux_raw_sys::general::{__NR_read, ECHO, ICANON, ISIG, termios};
use linux_raw_sys::ioctl::{TCFLSH, TCGETS, TCSETS};
use toehold::text::{Line, nth, push, push_format};

/// Goes to the beginning of the terminal's line, clears it, and shows the prompt.
const PROMPT: &[u8] = b"\r\x1b[Ktoehold> ";

/// Switches the terminal: for us (`ours`), it gives every byte at once and shows none; for others
/// it edits lines and sends signals itself.
fn edit(ours: bool) {
    // SAFETY: numbers: all zeroes is a termios.
    let mut modes: termios = unsafe { core::mem::zeroed() };
    // SAFETY: writes a termios.
    let _ = unsafe { STDIN.ioctl(TCGETS, &raw mut modes as usize) };
    modes.c_lflag |= ISIG | ICANON | ECHO;
    if ours {
        modes.c_lflag ^= ISIG | ICANON | ECHO;
    }
    // SAFETY: reads a termios.
    let _ = unsafe { STDIN.ioctl(TCSETS, &raw const modes as usize) };
}

/// Forgets what was typed so far.
///
/// Source: ioctl_tty(2).
pub fn flush(terminal: File) {
    const TCIFLUSH: usize = 0;
    // SAFETY: takes a number.
    let _ = unsafe { terminal.ioctl(TCFLSH, TCIFLUSH) };
}

/// One byte, `None` at the end.
fn read_byte() -> Option<u8> {
    let mut byte = 0u8;
    let (to, len) = (&raw mut byte as usize, 1);
    // SAFETY: room for one byte.
    let read = unsafe { result3(__NR_read, STDIN.number(), to, len) };
    (read == Ok(1)).then_some(byte)
}

fn show(text: &[u8]) {
    let _ = STDOUT.write(text);
}

/// Shows the prompt and the line so far, in place of what the terminal's line shows.
fn begin(line: &[u8]) {
    show(PROMPT);
    show(line);
}

/// Reads a line, which the arrows can take from `history`: earlier ones, the last first, each
/// behind a newline. `None`: the terminal has gone.
pub fn read_line(line: &mut Line, history: &mut Line) -> Option<()> {
    edit(true);
    line.clear();
    begin(line);
    let (mut escape, mut back) = (0, 0usize);
    loop {
        let byte = read_byte()?;
        match (byte, escape) {
            (b'\r' | b'\n', _) => break,
            (0x1B, _) => escape = 1,
            (b'[', 1) => escape = 2,
            (_, 2) => {
                escape = 0;
                let place = match byte {
                    b'A' => back + 1,
                    _ => back.saturating_sub(1),
                };
                // Each earlier line stands behind a newline, so that place 0 is empty.
                if let Some(earlier) = nth(history, b'\n', place) {
                    back = place;
                    line.clear();
                    push(line, earlier);
                    begin(line);
                }
            }
            // ^C and ^U.
            (3 | 0x15, _) => {
                line.clear();
                begin(line);
            }
            (8 | 0x7F, _) if line.pop().is_some() => show(b"\x08 \x08"),
            (b' '..=b'~', _) => {
                escape = 0;
                if line.push(byte).is_ok() {
                    show(&[byte]);
                }
            }
            _ => {}
        }
    }
    show(b"\n");
    edit(false);
    // Where there is no more room the oldest lines are cut off.
    let mut lines = Line::new();
    push_format(&mut lines, b"\n%%", &[line, history]);
    *history = lines;
    Some(())
}
