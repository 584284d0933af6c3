//! Stage 6: the stage-2 image inside /usr, or the root itself, under a tmpfs that makes it writable.

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
    if let Some(image) = boot.plan.setting(Key::Image) {
        let path = keep(b"%/%", &[boot.setting(Key::Mountpoint), image]);
        boot.mount_image(path, IMAGE)?;
    }
    let Some(options) = boot.plan.setting(Key::OverlayOptions) else {
        return Ok(());
    };
    boot.require_filesystem(b"overlay")?;
    let none = MountFlags::empty();
    let layers = c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";
    boot.step = Step::Overlay;
    mount(c"tmpfs", WRITABLE, c"tmpfs", none, keep_one(options))?;
    make_directory(c"/stage2/rw/upper")?;
    make_directory(c"/stage2/rw/work")?;
    mount(c"overlay", ROOT, c"overlay", none, layers)?;
    // The overlay keeps both alive; nothing else should see them.
    let _ = detach(IMAGE);
    let _ = detach(WRITABLE);
    Ok(())
}

impl Boot {
    /// Mounts the image at `path`, whatever filesystem it is.
    pub fn mount_image(&mut self, path: &'static CStr, target: &CStr) -> Call {
        self.subject = Some(path.to_bytes());
        let fstype = self.detect(path)?;
        let read_only = MountFlags::RDONLY;
        // Since Linux 6.12, erofs needs no device.
        if fstype.to_bytes() == b"erofs" && mount(path, target, fstype, read_only, c"").is_ok() {
            return Ok(());
        }
        self.require(b"loop")?;
        self.step = Step::Loop;
        let node = loop_device::attach(open(path, OFlags::RDONLY)?)?;
        self.step = Step::Mount;
        mount(node, target, fstype, read_only, c"")
    }

    /// Finds out which filesystem a device or an image holds, and loads its driver.
    pub fn detect(&mut self, path: &CStr) -> Call<&'static CStr> {
        self.step = Step::Open;
        let file = open(path, OFlags::RDONLY)?;
        self.step = Step::Detect;
        let fstype = filesystem::name(&file).ok_or(Error::REFUSED)?;
        file.close();
        self.require_filesystem(fstype)?;
        Ok(keep_one(fstype))
    }
}
