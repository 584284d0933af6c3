//! Mounts and the root.

use super::call::*;
use core::ffi::CStr;
use linux_raw_sys::general::*;
use rustix::mount::MountFlags;

/// mount(2). `data` is the filesystem's own options.
pub fn mount(
    source: &CStr,
    target: &CStr,
    fstype: &CStr,
    flags: MountFlags,
    data: &CStr,
) -> Result {
    // SAFETY: all of it is NUL-terminated, and no filesystem used here takes data that is not text.
    unsafe {
        done5(
            __NR_mount,
            source.as_ptr() as usize,
            target.as_ptr() as usize,
            fstype.as_ptr() as usize,
            flags.bits() as usize,
            data.as_ptr() as usize,
        )
    }
}

/// Moves a mount.
pub fn move_mount(from: &CStr, to: &CStr) -> Result {
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    // SAFETY: both are NUL-terminated. The kernel copies type and data before it looks at the
    // flags: they must be null.
    unsafe { done5(__NR_mount, from, to, 0, MS_MOVE as usize, 0) }
}

/// Shows a file or a directory at another place, too.
pub fn bind_mount(from: &CStr, to: &CStr) -> Result {
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    // SAFETY: both are NUL-terminated.
    unsafe { done5(__NR_mount, from, to, 0, MS_BIND as usize, 0) }
}

/// Takes a mount out of the tree now; its filesystem lives as long as something uses it.
#[inline(never)] // size: inline
pub fn detach(target: &CStr) -> Result {
    // SAFETY: NUL-terminated.
    unsafe { done2(__NR_umount2, target.as_ptr() as usize, MNT_DETACH as usize) }
}

pub fn change_directory(path: &CStr) -> Result {
    // SAFETY: NUL-terminated.
    unsafe { done1(__NR_chdir, path.as_ptr() as usize) }
}

pub fn change_root(path: &CStr) -> Result {
    // SAFETY: NUL-terminated.
    unsafe { done1(__NR_chroot, path.as_ptr() as usize) }
}

/// Makes the working directory the root, and puts the old root on top of it.
pub fn pivot_root_here() -> Result {
    let here = c".".as_ptr() as usize;
    // SAFETY: NUL-terminated.
    unsafe { done2(__NR_pivot_root, here, here) }
}

/// The magic number of the filesystem that the working directory is on.
pub fn filesystem_magic() -> Result<u32> {
    let mut status = core::mem::MaybeUninit::<statfs>::uninit();
    // SAFETY: NUL-terminated path, room for a statfs.
    unsafe {
        done2(
            __NR_statfs,
            c".".as_ptr() as usize,
            status.as_mut_ptr() as usize,
        )
    }?;
    // SAFETY: the kernel has written it.
    Ok(unsafe { status.assume_init() }.f_type as u32)
}
