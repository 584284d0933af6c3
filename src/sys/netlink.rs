//! The kernel's uevents, over netlink. Source: the kernel's lib/kobject_uevent.c, netlink(7).

use super::call::*;
use super::files::File;
use core::mem::size_of;
use linux_raw_sys::general::*;
use linux_raw_sys::netlink::{NETLINK_KOBJECT_UEVENT, sockaddr_nl};
use static_assertions::const_assert_eq;
use toehold::text::Line;

/// From linux/socket.h; linux-raw-sys has them with its whole `net` feature only.
const AF_NETLINK: u16 = 16;
const SOCK_DGRAM: usize = 2;
const SOCK_CLOEXEC: usize = 0o2000000;
const SOCK_NONBLOCK: usize = 0o4000;
const SOL_SOCKET: usize = 1;
const SO_RCVBUFFORCE: usize = 33;

/// Bytes that the socket may hold: a machine with hundreds of disks announces them all at once.
static RECEIVE_BUFFER: u32 = 4 << 20;

const_assert_eq!(size_of::<sockaddr_nl>(), 12);

/// A socket that gets them from now on.
pub fn listen() -> Result<File> {
    // SAFETY: numbers only.
    let socket = unsafe {
        result3(
            __NR_socket,
            AF_NETLINK.into(),
            SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
            NETLINK_KOBJECT_UEVENT as usize,
        )
    }?;
    // SAFETY: reads a u32. Less than asked for is no reason to stop: lost messages are noticed.
    let _ = unsafe {
        value5(
            __NR_setsockopt,
            socket,
            SOL_SOCKET,
            SO_RCVBUFFORCE,
            &raw const RECEIVE_BUFFER as usize,
            size_of::<u32>(),
        )
    };
    // Group 1: what the kernel itself sends.
    let address = sockaddr_nl {
        nl_family: AF_NETLINK,
        nl_pad: 0,
        nl_pid: 0,
        nl_groups: 1,
    };
    // SAFETY: reads a sockaddr_nl.
    unsafe {
        done3(
            __NR_bind,
            socket,
            &raw const address as usize,
            size_of::<sockaddr_nl>(),
        )
    }?;
    Ok(File::new(socket))
}

/// The next message, or EAGAIN when there is none now, or ENOBUFS when some were lost. Messages
/// that the kernel did not send are skipped.
pub fn receive(socket: File, text: &mut Line) -> Result {
    let (to, room) = (text.as_mut_ptr() as usize, text.capacity());
    loop {
        let mut sender = sockaddr_nl {
            nl_family: 0,
            nl_pad: 0,
            nl_pid: !0,
            nl_groups: 0,
        };
        let mut sender_len = size_of::<sockaddr_nl>() as u32;
        // SAFETY: a text is as long as its capacity, and the address as it says.
        let len = unsafe {
            result6(
                __NR_recvfrom,
                socket.number(),
                to,
                room,
                0,
                &raw mut sender as usize,
                &raw mut sender_len as usize,
            )
        }?;
        if sender.nl_pid == 0 {
            // SAFETY: so many bytes were written, not more than there is room for.
            unsafe { text.set_len(len) };
            return Ok(());
        }
    }
}
