//! Keys that the kernel finds when it acts for us. Source: keyrings(7), add_key(2).

use super::call::*;
use linux_raw_sys::general::__NR_add_key;
use toehold::format::verity::SIGNATURE_KEY;

/// KEY_SPEC_THREAD_KEYRING of linux/keyctl.h: -1.
const THREAD_KEYRING: usize = usize::MAX;

/// Puts a key of type `user`, which is called [`SIGNATURE_KEY`], into this thread's keyring.
pub fn add(content: &[u8]) -> Result {
    // SAFETY: type and description are NUL-terminated, the content is as long as it says.
    unsafe {
        done5(
            __NR_add_key,
            c"user".as_ptr() as usize,
            SIGNATURE_KEY.as_ptr() as usize,
            content.as_ptr() as usize,
            content.len(),
            THREAD_KEYRING,
        )
    }
}
