//! Keys that the kernel finds when it acts for us. Source: keyrings(7), add_key(2).

use super::call::*;
use super::files::open;
use super::memory::map;
use core::ffi::CStr;
use linux_raw_sys::general::__NR_add_key;
use rustix::fs::OFlags;

/// KEY_SPEC_THREAD_KEYRING of linux/keyctl.h: -1.
const THREAD_KEYRING: usize = usize::MAX;

/// Puts a file's content into this thread's keyring, as a key of type `user`.
pub fn add(description: &CStr, path: &CStr) -> Result {
    let file = open(path, OFlags::RDONLY)?;
    let size = file.status()?.size;
    let content = map(file, size)?;
    // SAFETY: type and description are NUL-terminated, the content is as long as it says.
    unsafe {
        done5(
            __NR_add_key,
            c"user".as_ptr() as usize,
            description.as_ptr() as usize,
            content.as_ptr() as usize,
            content.len(),
            THREAD_KEYRING,
        )
    }
}
