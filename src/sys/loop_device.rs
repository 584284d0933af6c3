//! Loop devices.

use super::call::*;
use super::files::{File, open};
use super::memory::intern_numbered;
use core::ffi::CStr;
use core::mem::{offset_of, size_of};
use linux_raw_sys::general::__NR_ioctl;
use linux_raw_sys::loop_device::*;
use rustix::fs::OFlags;
use rustix::io::Errno;
use static_assertions::const_assert_eq;

const_assert_eq!(size_of::<loop_config>(), 304);
const_assert_eq!(offset_of!(loop_config, info), 8);
const_assert_eq!(offset_of!(loop_info64, lo_flags), 52);

/// Attaches `image` to a free loop device, read only, to be detached at its last close: the
/// descriptor stays open here, so mount it before execve. Source: loop(4), LOOP_CONFIGURE.
pub fn attach(image: File) -> Result<&'static CStr> {
    // SAFETY: numbers and bytes: all zeroes is a loop_config.
    let mut config: loop_config = unsafe { core::mem::zeroed() };
    config.fd = image.number() as u32;
    config.info.lo_flags = LO_FLAGS_READ_ONLY as u32 | LO_FLAGS_AUTOCLEAR as u32;
    let control = open(c"/dev/loop-control", OFlags::RDWR)?;
    loop {
        // SAFETY: takes no argument.
        let number = unsafe { result2(__NR_ioctl, control.number(), LOOP_CTL_GET_FREE as usize) }?;
        let node = intern_numbered(b"/dev/loop%", number);
        let device = open(node, OFlags::RDONLY)?;
        // SAFETY: reads a loop_config.
        match unsafe { device.ioctl(LOOP_CONFIGURE, &raw const config as usize) } {
            Ok(()) => return Ok(node),
            // Somebody else was faster.
            Err(error) if error.is(Errno::BUSY) => {}
            Err(error) => return Err(error),
        }
    }
}
