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
use rustix::mount::MountFlags;
use toehold::failure::Step;
use toehold::format::plan::Key;
use toehold::shared::*;

pub fn run(machine: &mut Machine) -> Outcome {
    if let Some(image) = machine.plan.setting(Key::Image) {
        let mountpoint = machine.plan.text(Key::Mountpoint);
        let path = intern_format(b"%/%", &[mountpoint, image]);
        mount_image(machine, path, STAGE2_IMAGE)?;
    }
    let Some(options) = machine.plan.setting(Key::OverlayOptions) else {
        return Ok(());
    };
    require_filesystem(machine, b"overlay")?;
    overlay(options)
        .during(Step::Overlay)
        .about(STAGE2_ROOT.to_bytes())
}

/// Puts a tmpfs with these options above the image.
fn overlay(options: &[u8]) -> Call {
    let none = MountFlags::empty();
    mount(c"tmpfs", STAGE2_WRITABLE, c"tmpfs", none, intern(options))?;
    make_directory(STAGE2_UPPER)?;
    make_directory(STAGE2_WORK)?;
    mount(c"overlay", STAGE2_ROOT, c"overlay", none, STAGE2_LAYERS)?;
    // The overlay has them mounted for itself; stage 2 should not see them besides.
    let _ = detach(STAGE2_IMAGE);
    let _ = detach(STAGE2_WRITABLE);
    Ok(())
}
