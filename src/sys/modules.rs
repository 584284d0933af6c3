//! Kernel modules: finit_module(2).

use super::call::*;
use super::files::File;
use core::ffi::CStr;
use linux_raw_sys::general::__NR_finit_module;

/// Loads a module with its parameters. Returns when its init function has returned.
pub fn load(file: File, parameters: &CStr) -> Result {
    // SAFETY: the parameters are NUL-terminated; no flags.
    unsafe {
        done3(
            __NR_finit_module,
            file.number(),
            parameters.as_ptr() as usize,
            0,
        )
    }
}
