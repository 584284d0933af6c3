//! Device-mapper: sending requests to /dev/mapper/control.

use super::call::*;
use super::files::File;
use rustix::io::Errno;
use toehold::format::dm::{Command, finish};
use toehold::text::Line;

/// Sends a request made by [`toehold::format::dm`]; the answer replaces it.
pub fn send(control: File, command: Command, request: &mut Line) -> Result {
    finish(request).ok_or(Errno::TOOBIG)?;
    // SAFETY: the buffer is as long as its header says (see `finish`), and writable.
    unsafe { control.ioctl(command as u32, request.as_mut_ptr() as usize) }
}
