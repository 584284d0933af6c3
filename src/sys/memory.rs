//! Memory: files mapped for good, and text that outlives its maker.

use super::call::*;
use super::files::File;
use core::cell::UnsafeCell;
use core::ffi::CStr;
use linux_raw_sys::general::{__NR_mmap, MAP_PRIVATE, PROT_READ};

/// Maps the first `len` bytes of a file, read only, until execve.
pub fn map(file: &File, len: usize) -> Result<&'static [u8]> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = check(unsafe {
        syscall6(
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

/// The command line, some paths.
const KEPT: usize = 16384;

/// Text that is kept: a failure's subject, or a path, must outlive the stage that made it. A boot keeps a few hundred
/// bytes; what does not fit is cut.
struct Keep(UnsafeCell<(usize, [u8; KEPT])>);

// SAFETY: the program has one thread.
unsafe impl Sync for Keep {}

static KEEP: Keep = Keep(UnsafeCell::new((0, [0; KEPT])));

/// Joins the parts to a text that stays.
pub fn keep(parts: &[&[u8]]) -> &'static CStr {
    // SAFETY: one thread, and the reference does not leave this function.
    let (used, buffer) = unsafe { &mut *KEEP.0.get() };
    let free = buffer.get_mut(*used..).unwrap_or_default();
    let mut len = 0;
    // The last byte is never written, so there is always a NUL.
    let room = free.len().saturating_sub(1);
    for (to, from) in free
        .iter_mut()
        .take(room)
        .zip(parts.iter().copied().flatten())
    {
        *to = *from;
        len += 1;
    }
    *used += (len + 1).min(free.len());
    // SAFETY: these bytes were handed out just now, will not be again, and are never written any more.
    let kept: &'static [u8] = unsafe { core::slice::from_raw_parts(free.as_ptr(), free.len()) };
    CStr::from_bytes_until_nul(kept).unwrap_or(c"?")
}
