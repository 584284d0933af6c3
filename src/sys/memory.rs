//! Memory: files mapped for good, and text put together.

use super::call::*;
use super::files::File;
use core::cell::{Cell, UnsafeCell};
use core::ffi::CStr;
use linux_raw_sys::general::{__NR_mmap, MAP_PRIVATE, PROT_READ};
use toehold::text::{Line, push_number};

/// Maps the first `len` bytes of a file, read only, until execve.
pub fn map(file: File, len: usize) -> Result<&'static [u8]> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = check(unsafe {
        value6(
            __NR_mmap,
            0,
            len,
            PROT_READ as usize,
            MAP_PRIVATE as usize,
            file.number(),
            0,
        )
    })?;
    // SAFETY: mapped just now, `len` bytes, never unmapped, never written.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, len) })
}

/// Joins the parts in `buffer`. What does not fit is cut, NUL bytes are left out.
pub fn join<'a>(buffer: &'a mut [u8], parts: &[&[u8]]) -> &'a CStr {
    let mut len = 0;
    for part in parts {
        for byte in *part {
            if *byte != 0
                && len + 1 < buffer.len()
                && let Some(to) = buffer.get_mut(len)
            {
                *to = *byte;
                len += 1;
            }
        }
    }
    if let Some(end) = buffer.get_mut(len) {
        *end = 0;
    }
    let Some(text) = buffer.get(..=len) else {
        return c"";
    };
    // SAFETY: `len` bytes other than NUL were written, and a NUL behind them.
    unsafe { CStr::from_bytes_with_nul_unchecked(text) }
}

/// The command line, and a few paths.
const KEPT: usize = 16384;

/// How much of it is used, and the text.
struct Keep {
    used: Cell<usize>,
    text: UnsafeCell<[u8; KEPT]>,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Keep {}

static KEEP: Keep = Keep {
    used: Cell::new(0),
    text: UnsafeCell::new([0; KEPT]),
};

/// Joins the parts to a text that stays: a failure's subject must outlive the stage that made it.
pub fn keep(parts: &[&[u8]]) -> &'static CStr {
    let used = KEEP.used.get();
    // SAFETY: `used` never grows beyond the buffer, see below.
    let free = unsafe { KEEP.text.get().cast::<u8>().add(used) };
    // SAFETY: one thread, and nothing behind `used` was handed out before.
    let free = unsafe { core::slice::from_raw_parts_mut(free, KEPT - used) };
    let text = join(free, parts);
    KEEP.used.set((used + text.count_bytes() + 1).min(KEPT));
    text
}

/// The same for one part: mostly to have a NUL behind it.
#[inline(never)] // Measured: smaller so.
pub fn keep_one(text: &[u8]) -> &'static CStr {
    keep(&[text])
}

/// The same, with a number behind it.
pub fn keep_numbered(name: &[u8], number: usize) -> &'static CStr {
    let mut digits = Line::new();
    push_number(&mut digits, number as u64);
    keep(&[name, &digits])
}
