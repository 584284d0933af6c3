//! Stage 5: /usr, mounted.

use super::Boot;
use crate::sys::files::open;
use crate::sys::memory::keep;
use crate::sys::mounts::mount;
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::failure::{At, Failure, Problem, Stage, Step};
use toehold::format::plan::Key;
use toehold::format::{filesystem, mount_options};
use toehold::text::Line;

pub fn run(boot: &mut Boot, source: &'static CStr) -> Result<(), Failure> {
    mount_usr(boot, source).map_err(|problem| problem.on(Stage::Usr, source.to_bytes()))
}

fn mount_usr(boot: &mut Boot, source: &CStr) -> Result<(), Problem> {
    let mut fstype = boot.options.fstype;
    if fstype == b"auto" {
        let device = open(source).at(Step::Open)?;
        fstype = filesystem::detect(&device)
            .ok_or(Step::Detect.refused())?
            .filesystem
            .name();
    }
    boot.request(keep(&[b"fs-", fstype]).to_bytes());
    let mut data = Line::new();
    let flags = mount_options::split(boot.options.mount_options, &mut data);
    // A log to be replayed would have to be written.
    if fstype == b"btrfs" && flags.contains(MountFlags::RDONLY) && !mount_options::has_rescue(&data)
    {
        mount_options::add(&mut data, b"rescue=nologreplay");
    }
    mount(
        source,
        keep(&[boot.plan.text(Key::Mountpoint)]),
        keep(&[fstype]),
        flags,
        keep(&[&data]),
    )
    .at(Step::Mount)
}
