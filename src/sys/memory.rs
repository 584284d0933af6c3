//! Memory: files mapped for good, and text that stays.

use super::call::*;
use super::files::File;
use core::cell::{Cell, UnsafeCell};
use core::ffi::CStr;
use linux_raw_sys::general::{__NR_mmap, MAP_PRIVATE, PROT_READ};
use toehold::text::{self, Line, push, push_number};

/// Maps the first `len` bytes of a file, read only, until execve.
#[inline(always)] // Measured: smaller so.
pub fn map(file: File, len: usize) -> Result<&'static [u8]> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = unsafe {
        result6(
            __NR_mmap,
            0,
            len,
            PROT_READ as usize,
            MAP_PRIVATE as usize,
            file.number(),
            0,
        )
    }?;
    // SAFETY: mapped just now, `len` bytes, never unmapped, never written.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, len) })
}

/// Puts a path or the like together in `text`: `template` with the `parts` in place of its `%`. Empty if it does not fit.
pub fn fill<'a>(text: &'a mut Line, template: &[u8], parts: &[&[u8]]) -> &'a CStr {
    text.clear();
    text::fill(text, template, parts);
    end(text)
}

/// The text as a C string. Empty if there is no room for its end.
pub fn end(text: &mut Line) -> &CStr {
    if text.is_full() {
        text.clear();
    }
    push(text, b"\0");
    // SAFETY: there was room for the NUL. (`CStr::from_bytes_until_nul` looks for it with 130 bytes of code.)
    unsafe { CStr::from_ptr(text.as_ptr().cast()) }
}

/// The command line, paths, and the names of devices that answer: of a disk made to confuse, thousands. What is not used takes no
/// memory.
const KEPT: usize = 1 << 20;

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

/// A copy that stays, with a NUL behind it: a failure's subject must outlive the stage that made it.
#[inline(never)] // Measured: smaller so.
pub fn keep_one(text: &[u8]) -> &'static CStr {
    let used = KEEP.used.get();
    // The last byte stays zero: even when nothing is left there is an end.
    let len = text.len().min(KEPT - 1 - used);
    // SAFETY: `used` and `len` together are less than the buffer's length.
    let free = unsafe { KEEP.text.get().cast::<u8>().add(used) };
    // SAFETY: one thread, nothing behind `used` was handed out before, and `text` has that many bytes.
    unsafe { free.copy_from_nonoverlapping(text.as_ptr(), len) };
    KEEP.used.set((used + len + 1).min(KEPT - 1));
    // SAFETY: what follows was never written to: zero.
    unsafe { CStr::from_ptr(free.cast()) }
}

/// `template` with the `parts` in place of its `%`, to stay.
pub fn keep(template: &[u8], parts: &[&[u8]]) -> &'static CStr {
    let mut text = Line::new();
    text::fill(&mut text, template, parts);
    keep_one(&text)
}

/// The same with a number.
pub fn keep_numbered(template: &[u8], number: usize) -> &'static CStr {
    let mut digits = Line::new();
    push_number(&mut digits, number as u64);
    keep(template, &[&digits])
}
