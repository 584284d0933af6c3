//! Kernel modules: finit_module(2).

use super::call::*;
use super::files::{contents, open};
use super::memory::fill;
use linux_raw_sys::general::__NR_finit_module;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::text::Line;

/// MODULE_INIT_COMPRESSED_FILE of linux/module.h.
const COMPRESSED: usize = 4;

/// Loads a module with its parameters; its file's name is `name` and `suffix`. Returns when its init function has returned;
/// a module that is there already is good.
///
/// Of several processes that load the same one the first does it and the others wait, or are told that the first died of
/// it (EBUSY): the kernel would let them wait for ever.
pub fn load(name: &[u8], suffix: &[u8], parameters: &[u8]) -> Result {
    let mut text = Line::new();
    let path = fill(&mut text, b"/lib/modules/%%", &[name, suffix]);
    let file = open(path, OFlags::RDONLY)?;
    file.lock()?;
    match contents(&mut text, b"/sys/module/%/initstate", &[name]).first() {
        // Nothing of that name; else `live`, `coming` or `going`.
        None => {}
        Some(b'l') => return Ok(()),
        Some(_) => return Err(Errno::BUSY.into()),
    }
    // Anything behind `.ko` is a compression.
    let flags = if suffix.len() > 3 { COMPRESSED } else { 0 };
    let parameters = fill(&mut text, b"%", &[parameters]).as_ptr() as usize;
    // SAFETY: the parameters are NUL-terminated.
    match unsafe { done3(__NR_finit_module, file.number(), parameters, flags) } {
        Err(error) if error.is(Errno::EXIST) => Ok(()),
        result => result,
    }
}
