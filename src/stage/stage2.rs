//! Stage 6: the stage-2 image inside /usr, or the root itself, under a tmpfs that makes it
//! writable.

use crate::machine::Machine;
use crate::machine::filesystem::mount_image;
use crate::machine::modules::require_filesystem;
use crate::machine::outcome::{About, During, Outcome};
use crate::sys::call::Result as Call;
use crate::sys::files::make_directory;
use crate::sys::memory::{intern, intern_format};
use crate::sys::mounts::{detach, mount};
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::failure::Step;
use toehold::format::plan::Key;

/// Directories that the builder makes in the initrd.
pub const IMAGE: &CStr = c"/stage2/image";
pub const WRITABLE: &CStr = c"/stage2/rw";
pub const ROOT: &CStr = c"/stage2/root";

pub fn run(machine: &mut Machine) -> Outcome {
    if let Some(image) = machine.plan.setting(Key::Image) {
        let mountpoint = machine.plan.text(Key::Mountpoint);
        let path = intern_format(b"%/%", &[mountpoint, image]);
        mount_image(machine, path, IMAGE)?;
    }
    let Some(options) = machine.plan.setting(Key::OverlayOptions) else {
        return Ok(());
    };
    require_filesystem(machine, b"overlay")?;
    overlay(options)
        .during(Step::Overlay)
        .about(ROOT.to_bytes())
}

/// Puts a tmpfs with these options above the image.
fn overlay(options: &[u8]) -> Call {
    let none = MountFlags::empty();
    let layers = c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";
    mount(c"tmpfs", WRITABLE, c"tmpfs", none, intern(options))?;
    make_directory(c"/stage2/rw/upper")?;
    make_directory(c"/stage2/rw/work")?;
    mount(c"overlay", ROOT, c"overlay", none, layers)?;
    // The overlay has them mounted for itself; stage 2 should not see them besides.
    let _ = detach(IMAGE);
    let _ = detach(WRITABLE);
    Ok(())
}
