//! Memory: files mapped for good, and texts that are interned: copied to where they stay.

use super::call::*;
use super::files::{self, File, open};
use core::cell::{Cell, UnsafeCell};
use core::ffi::CStr;
use linux_raw_sys::general::{
    __NR_mmap, __NR_read, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE,
};
use rustix::fs::OFlags;
use toehold::text::{Line, push, push_format, push_number};

/// Maps the first `len` bytes of a file, read only, until execve.
#[inline(always)] // size: inline
pub fn map(file: File, len: usize) -> Result<&'static [u8]> {
    let address = map_thin(len, PROT_READ, MAP_PRIVATE, file)?;
    // SAFETY: mapped just now, `len` bytes, never unmapped, never written.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, len) })
}

/// Maps a whole file, in the same way.
pub fn map_file(path: &CStr) -> Result<&'static [u8]> {
    let file = open(path, OFlags::RDONLY)?;
    map(file, file.status()?.size)
}

/// So many bytes, zero, until the process ends.
pub fn map_zeroed(len: usize) -> Result<&'static mut [u8]> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    let address = map_thin(len, PROT_READ | PROT_WRITE, flags, files::NONE)?;
    // SAFETY: mapped just now, `len` bytes, never unmapped, and nobody else has the address.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, len) })
}

#[inline(always)] // size: inline
fn map_thin(len: usize, access: u32, flags: u32, file: File) -> Result<usize> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    unsafe {
        result6(
            __NR_mmap,
            0,
            len,
            access as usize,
            flags as usize,
            file.number(),
            0,
        )
    }
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

/// A whole file, however long, interned.
pub fn intern_file(path: &CStr) -> Result<&'static [u8]> {
    let file = open(path, OFlags::RDONLY)?;
    let used = INTERNED.used.get();
    // SAFETY: `used` is less than the room that there is, and nobody else has what is behind it.
    let free = unsafe { INTERNED.text.get().cast::<u8>().add(used) };
    // SAFETY: writes so many bytes at most, all but the last one.
    let len = unsafe { result3(__NR_read, file.number(), free as usize, ROOM - 1 - used) }?;
    file.close();
    INTERNED.used.set(used + len);
    // SAFETY: the kernel has written them, and they never change.
    Ok(unsafe { core::slice::from_raw_parts(free, len) })
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
