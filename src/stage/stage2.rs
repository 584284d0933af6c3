//! Stage 6: the stage-2 image inside /usr, on a loop device, under a tmpfs that makes it writable.

use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{make_directory, open};
use crate::sys::loop_device;
use crate::sys::memory::{keep, keep_one};
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use toehold::failure::{Error, Step};
use toehold::format::filesystem;
use toehold::format::plan::Key;

/// Directories that the builder makes in the initrd.
pub const IMAGE: &CStr = c"/stage2/image";
pub const WRITABLE: &CStr = c"/stage2/rw";
pub const ROOT: &CStr = c"/stage2/root";

pub fn run(boot: &mut Boot) -> Call {
    let path = keep(
        b"%/%",
        &[boot.setting(Key::Mountpoint), boot.setting(Key::Image)],
    );
    boot.subject = Some(path.to_bytes());
    boot.step = Step::Open;
    let image = open(path, OFlags::RDONLY)?;
    boot.step = Step::Detect;
    let fstype = filesystem::name(&image).ok_or(Error::REFUSED)?;
    boot.require(b"loop")?;
    boot.require_filesystem(fstype)?;
    boot.require_filesystem(b"overlay")?;

    boot.step = Step::Loop;
    let node = loop_device::attach(image)?;
    boot.step = Step::Mount;
    mount(node, IMAGE, keep_one(fstype), MountFlags::RDONLY, c"")?;

    let none = MountFlags::empty();
    let options = keep_one(boot.setting(Key::OverlayOptions));
    let layers = c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";
    boot.step = Step::Overlay;
    mount(c"tmpfs", WRITABLE, c"tmpfs", none, options)?;
    make_directory(c"/stage2/rw/upper")?;
    make_directory(c"/stage2/rw/work")?;
    mount(c"overlay", ROOT, c"overlay", none, layers)?;
    // The overlay keeps both alive; nothing else should see them.
    let _ = detach(IMAGE);
    let _ = detach(WRITABLE);
    Ok(())
}
