//! Memory: files mapped for good, and texts that are interned: copied to where they stay.

use super::call::*;
use super::files::File;
use core::cell::{Cell, UnsafeCell};
use core::ffi::CStr;
use linux_raw_sys::general::{__NR_mmap, MAP_PRIVATE, PROT_READ};
use toehold::text::{Line, push, push_format, push_number};

/// Maps the first `len` bytes of a file, read only, until execve.
#[inline(always)] // size: inline
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

/// Puts a path or the like together in `text`: `template` with the `parts` in place of its `%`.
/// Empty if it does not fit.
pub fn format_path<'a>(text: &'a mut Line, template: &[u8], parts: &[&[u8]]) -> &'a CStr {
    text.clear();
    push_format(text, template, parts);
    end(text)
}

/// The text as a C string. Empty if there is no room for its end.
pub fn end(text: &mut Line) -> &CStr {
    if text.is_full() {
        text.clear();
    }
    push(text, b"\0");
    // SAFETY: there was room for the NUL. (`CStr::from_bytes_until_nul` looks for it with 130 bytes
    // of code.)
    unsafe { CStr::from_ptr(text.as_ptr().cast()) }
}

/// Bytes for interned texts: the command line, paths, names of devices. A disk that is made to
/// confuse can have thousands of partitions that match. Pages that are never written to take no
/// memory.
const ROOM: usize = 1 << 20;

/// The texts, one behind the other, and how many bytes they take.
struct Interned {
    used: Cell<usize>,
    text: UnsafeCell<[u8; ROOM]>,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Interned {}

static INTERNED: Interned = Interned {
    used: Cell::new(0),
    text: UnsafeCell::new([0; ROOM]),
};

/// A copy that stays, with a NUL behind it: the subject of a failure must outlive the stage that
/// made it.
pub fn intern(text: &[u8]) -> &'static CStr {
    let used = INTERNED.used.get();
    // The last byte is never written to: it ends the text even when there is no more room.
    let len = text.len().min(ROOM - 1 - used);
    // SAFETY: `used` and `len` together are less than the buffer's length.
    let free = unsafe { INTERNED.text.get().cast::<u8>().add(used) };
    // SAFETY: one thread, nothing behind `used` was handed out before, and `text` has that many
    // bytes.
    unsafe { free.copy_from_nonoverlapping(text.as_ptr(), len) };
    INTERNED.used.set((used + len + 1).min(ROOM - 1));
    // SAFETY: what follows was never written to: zero.
    unsafe { CStr::from_ptr(free.cast()) }
}

/// The number that an interned copy of a text can be found by.
pub fn intern_place(text: &[u8]) -> u32 {
    let start = INTERNED.text.get() as usize;
    (intern(text).as_ptr() as usize).wrapping_sub(start) as u32
}

/// The text with a number of [`intern_place`]'s. (Another number finds the rest of some text.)
pub fn interned(place: u32) -> &'static CStr {
    // SAFETY: the place is inside the buffer, whose last byte is always zero.
    let text = unsafe {
        INTERNED
            .text
            .get()
            .cast::<u8>()
            .add((place as usize).min(ROOM - 1))
    };
    // SAFETY: as above, and what was written there never changes.
    unsafe { CStr::from_ptr(text.cast()) }
}

/// `template` with the `parts` in place of its `%`, interned.
pub fn intern_format(template: &[u8], parts: &[&[u8]]) -> &'static CStr {
    let mut text = Line::new();
    push_format(&mut text, template, parts);
    intern(&text)
}

/// The same with a number.
pub fn intern_numbered(template: &[u8], number: usize) -> &'static CStr {
    let mut digits = Line::new();
    push_number(&mut digits, number as u64);
    intern_format(template, &[&digits])
}
