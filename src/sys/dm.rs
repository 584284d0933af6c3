//! Device-mapper: sending requests to /dev/mapper/control.

use super::call::*;
use super::files::File;
use toehold::format::dm::{Command, Request, finish};

/// Sends a request made by [`toehold::format::dm`]; the answer replaces it.
pub fn send(control: File, command: Command, request: &mut Request) -> Result {
    finish(request);
    // SAFETY: the buffer is as long as its header says (its capacity, see `finish`), and so writable.
    unsafe { control.ioctl(command as u32, request.as_mut_ptr() as usize) }.map(|_| ())
}
