//! Kernel modules: finit_module(2), and init_module(2) where that is safer.

use super::call::*;
use super::files::{File, contents, open_formatted};
use super::memory::{end, intern_file, map};
use linux_raw_sys::general::{__NR_finit_module, __NR_init_module};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::format::cmdline::push_parameters;
use toehold::shared::MODULE_FILE;
use toehold::text::{Line, push};

/// MODULE_INIT_COMPRESSED_FILE of linux/module.h.
const COMPRESSED: usize = 4;

/// Opens the file of a module: its name is `name` and `suffix`.
pub fn open_file(name: &[u8], suffix: &[u8], flags: OFlags) -> Result<File> {
    open_formatted(MODULE_FILE, &[name, suffix], flags)
}

/// Loads a module with its parameters, and unless they are locked with those that the command line
/// has for it; its file's name is `name` and `suffix`. Returns when its init function has returned;
/// a module that is there already is good.
///
/// Of several processes that load the same one the first does it and the others wait, or are told
/// that the first died of it (EBUSY): the kernel would let them wait for ever.
///
/// `crashed`: a module's init function has crashed before. Since Linux 6.5 finit_module keeps those
/// that are being loaded in a table, by their files, that points into the loaders' stacks
/// (`idempotent` in its kernel/module/main.c). A crash leaves such an entry behind, and who comes
/// across it crashes, too, or waits for ever. init_module(2) does not use the table; only the
/// kernel's decompression needs finit_module.
pub fn load(
    name: &[u8],
    suffix: &[u8],
    parameters: &[u8],
    is_locked: bool,
    crashed: bool,
) -> Result {
    let mut text = Line::new();
    let file = open_file(name, suffix, OFlags::RDONLY)?;
    file.lock()?;
    match contents(&mut text, b"/sys/module/%/initstate", &[name]).first() {
        // Nothing of that name; else `live`, `coming` or `going`.
        None => {}
        Some(b'l') => return Ok(()),
        Some(_) => return Err(Errno::BUSY.into()),
    }
    // Anything behind `.ko` is a compression.
    let flags = if suffix.len() > 3 { COMPRESSED } else { 0 };
    text.clear();
    push(&mut text, parameters);
    if !is_locked {
        push_parameters(&mut text, name, intern_file(c"/proc/cmdline")?);
    }
    if text.is_full() {
        return Err(Errno::TOOBIG.into());
    }
    let parameters = end(&mut text).as_ptr() as usize;
    let mut result = Err(Errno::PERM.into());
    if crashed && flags == 0 {
        let image = map(file, file.status()?.size)?;
        let (start, len) = (image.as_ptr() as usize, image.len());
        // SAFETY: the image is mapped, and the parameters are NUL-terminated.
        result = unsafe { done3(__NR_init_module, start, len, parameters) };
    }
    // LoadPin and IMA take no module without its file.
    if result.is_err_and(|error| error.is(Errno::PERM)) {
        // SAFETY: the parameters are NUL-terminated.
        result = unsafe { done3(__NR_finit_module, file.number(), parameters, flags) };
    }
    match result {
        Err(error) if error.is(Errno::EXIST) => Ok(()),
        result => result,
    }
}
