//! Stage 6: the stage-2 image inside /usr, on a loop device, under a tmpfs that makes it writable.

use super::modules::Modules;
use crate::journal::Journal;
use crate::sys::files::{make_directory, open};
use crate::sys::loop_device;
use crate::sys::memory::keep;
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::filesystem;
use toehold::options::Settings;

const STAGE: Stage = Stage::Stage2;

/// Directories that the builder makes in the initrd.
const IMAGE: &CStr = c"/stage2/image";
const WRITABLE: &CStr = c"/stage2/rw";
pub const ROOT: &CStr = c"/stage2/root";

pub fn run(settings: &Settings, modules: &mut Modules, journal: &Journal) -> Result<(), Failure> {
    let path = keep(&[settings.mountpoint, b"/", settings.image]);
    let subject = path.to_bytes();
    let failed = |step| move |errno| STAGE.failed(step, errno, subject);

    let image = open(path).map_err(failed(Step::Open))?;
    let fstype = filesystem::detect(&image)
        .ok_or(STAGE.refused(Step::Detect, subject))?
        .filesystem
        .name();
    modules.request(b"loop", journal);
    modules.request(keep(&[b"fs-", fstype]).to_bytes(), journal);
    modules.request(b"fs-overlay", journal);

    // The descriptor is held until the mount holds the device.
    let (_device, node) = loop_device::attach(&image, subject).map_err(failed(Step::Loop))?;
    let none = MountFlags::empty();
    mount(node, IMAGE, keep(&[fstype]), MountFlags::RDONLY, c"").map_err(failed(Step::Mount))?;

    let options = keep(&[settings.overlay_options]);
    mount(c"tmpfs", WRITABLE, c"tmpfs", none, options)
        .and_then(|()| make_directory(c"/stage2/rw/upper"))
        .and_then(|()| make_directory(c"/stage2/rw/work"))
        .and_then(|()| {
            mount(
                c"overlay",
                ROOT,
                c"overlay",
                none,
                c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work",
            )
        })
        .map_err(failed(Step::Overlay))?;
    // The overlay keeps both alive; nothing else should see them.
    let _ = detach(IMAGE);
    let _ = detach(WRITABLE);
    Ok(())
}
