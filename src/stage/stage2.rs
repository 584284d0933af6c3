//! Stage 6: the stage-2 image inside /usr, on a loop device, under a tmpfs that makes it writable.

use crate::boot::Boot;
use crate::sys::files::{make_directory, open};
use crate::sys::loop_device;
use crate::sys::memory::{keep, keep_one};
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use toehold::failure::{At, Problem, Step};
use toehold::format::filesystem;
use toehold::format::plan::Key;

/// Directories that the builder makes in the initrd.
const IMAGE: &CStr = c"/stage2/image";
const WRITABLE: &CStr = c"/stage2/rw";
pub const ROOT: &CStr = c"/stage2/root";

pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    let path = keep(
        b"%/%",
        &[boot.setting(Key::Mountpoint), boot.setting(Key::Image)],
    );
    boot.subject = Some(path.to_bytes());
    let image = open(path, OFlags::RDONLY).at(Step::Open)?;
    let fstype = filesystem::name(&image).ok_or(Step::Detect.refused())?;
    boot.require(b"loop")?;
    boot.require_filesystem(fstype)?;
    boot.require_filesystem(b"overlay")?;

    let node = loop_device::attach(image).at(Step::Loop)?;
    mount(node, IMAGE, keep_one(fstype), MountFlags::RDONLY, c"").at(Step::Mount)?;

    let none = MountFlags::empty();
    let options = keep_one(boot.setting(Key::OverlayOptions));
    let layers = c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";
    mount(c"tmpfs", WRITABLE, c"tmpfs", none, options).at(Step::Overlay)?;
    make_directory(c"/stage2/rw/upper").at(Step::Overlay)?;
    make_directory(c"/stage2/rw/work").at(Step::Overlay)?;
    mount(c"overlay", ROOT, c"overlay", none, layers).at(Step::Overlay)?;
    // The overlay keeps both alive; nothing else should see them.
    let _ = detach(IMAGE);
    let _ = detach(WRITABLE);
    Ok(())
}
