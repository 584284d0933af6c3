//! The kernel's log, read as a whole.

use super::call::*;
use core::mem::MaybeUninit;
use linux_raw_sys::general::__NR_syslog;

/// SYSLOG_ACTION_READ_ALL of linux/syslog.h: the newest, as much as there is room for.
const READ_ALL: usize = 3;

/// As much as most kernels keep, in bytes.
const ROOM: usize = 1 << 18;

/// Room for the log, for [`read`] to fill.
pub const BUFFER: MaybeUninit<[u8; ROOM]> = MaybeUninit::uninit();

/// The log: lines, each with its priority before it, as `<3>`, and perhaps a time. Source:
/// syslog(2).
pub fn read(buffer: &mut MaybeUninit<[u8; ROOM]>) -> &[u8] {
    // SAFETY: the buffer is as long as it says.
    let len = unsafe { result3(__NR_syslog, READ_ALL, buffer.as_mut_ptr() as usize, ROOM) };
    // SAFETY: the kernel has written that many bytes.
    unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast(), len.unwrap_or(0)) }
}
