//! Loop devices.

use super::call::*;
use super::files::{File, open};
use super::memory::keep;
use core::ffi::CStr;
use core::mem::{offset_of, size_of};
use linux_raw_sys::loop_device::*;
use rustix::fs::OFlags;
use rustix::io::Errno;
use static_assertions::const_assert_eq;
use toehold::text::{Line, push_number};

const_assert_eq!(size_of::<loop_config>(), 304);
const_assert_eq!(offset_of!(loop_config, info), 8);
const_assert_eq!(offset_of!(loop_info64, lo_flags), 52);
const_assert_eq!(offset_of!(loop_info64, lo_file_name), 56);

/// Attaches `image` to a free loop device, read only, to be detached at its last close: the descriptor stays open here, so mount it before execve.
/// `name` is what losetup shows. Source: loop(4), LOOP_CONFIGURE.
pub fn attach(image: File, name: &[u8]) -> Result<&'static CStr> {
    // SAFETY: numbers and bytes: all zeroes is a loop_config.
    let mut config: loop_config = unsafe { core::mem::zeroed() };
    config.fd = image.number() as u32;
    config.info.lo_flags = LO_FLAGS_READ_ONLY as u32 | LO_FLAGS_AUTOCLEAR as u32;
    // The last byte stays NUL.
    config
        .info
        .lo_file_name
        .iter_mut()
        .take(63)
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    let control = open(c"/dev/loop-control", OFlags::RDWR)?;
    loop {
        // SAFETY: takes no argument.
        let number = unsafe { control.ioctl(LOOP_CTL_GET_FREE, 0) }?;
        let mut digits = Line::new();
        push_number(&mut digits, number as u64);
        let node = keep(&[b"/dev/loop", &digits]);
        let device = open(node, OFlags::RDONLY)?;
        // SAFETY: reads a loop_config.
        match unsafe { device.ioctl(LOOP_CONFIGURE, &raw const config as usize) } {
            Ok(_) => return Ok(node),
            // Somebody else was faster.
            Err(error) if error.is(Errno::BUSY) => {}
            Err(error) => return Err(error),
        }
    }
}
