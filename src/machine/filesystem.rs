//! Filesystems on devices and in images: which one it is, and mounting it.

use super::Machine;
use super::modules::{require, require_filesystem};
use super::outcome::{About, During, Outcome, refused};
use crate::sys::files::open;
use crate::sys::memory::intern;
use crate::sys::mounts::mount;
use crate::sys::{call::Result as Call, loop_device};
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use toehold::failure::Step;
use toehold::format::filesystem;

/// Finds out which filesystem a device or an image holds, and loads its driver. The caller says of
/// a failure that it is about the path.
pub fn detect(machine: &mut Machine, path: &CStr) -> Outcome<&'static CStr> {
    let file = open(path, OFlags::RDONLY).during(Step::Open)?;
    let Some(fstype) = filesystem::name(&file) else {
        return Err(refused(Step::Detect));
    };
    file.close();
    require_filesystem(machine, fstype)?;
    Ok(intern(fstype))
}

/// Mounts the image at `path`, whatever filesystem it is.
pub fn mount_image(machine: &mut Machine, path: &CStr, target: &CStr) -> Outcome {
    mount_file(machine, path, target).about(path.to_bytes())
}

fn mount_file(machine: &mut Machine, path: &CStr, target: &CStr) -> Outcome {
    let fstype = detect(machine, path)?;
    let read_only = MountFlags::RDONLY;
    // Since Linux 6.12, erofs needs no device.
    if fstype.to_bytes() == b"erofs" && mount(path, target, fstype, read_only, c"").is_ok() {
        return Ok(());
    }
    require(machine, b"loop")?;
    let node = attach(path).during(Step::Loop)?;
    mount(node, target, fstype, read_only, c"").during(Step::Mount)
}

fn attach(path: &CStr) -> Call<&'static CStr> {
    loop_device::attach(open(path, OFlags::RDONLY)?)
}
