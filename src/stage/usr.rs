//! Stage 5: /usr, mounted.

use super::modules::Modules;
use crate::journal::Journal;
use crate::sys::files::open;
use crate::sys::memory::keep;
use crate::sys::mounts::mount;
use core::ffi::CStr;
use rustix::mount::MountFlags;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::{filesystem, mount_options};
use toehold::options::Options;
use toehold::text::Text;

const STAGE: Stage = Stage::Usr;

pub fn run(
    options: &Options,
    source: &'static CStr,
    modules: &mut Modules,
    journal: &Journal,
) -> Result<(), Failure> {
    let subject = source.to_bytes();
    let fstype = match options.fstype {
        Some(fstype) => fstype,
        None => {
            let device = open(source).map_err(|errno| STAGE.failed(Step::Open, errno, subject))?;
            filesystem::detect(&device)
                .ok_or(STAGE.refused(Step::Detect, subject))?
                .filesystem
                .name()
        }
    };
    modules.request(keep(&[b"fs-", fstype]).to_bytes(), journal);
    let mut data = Text::new();
    let flags = mount_options::split(options.mount_options, &mut data);
    // A log to be replayed would have to be written.
    if fstype == b"btrfs"
        && flags.contains(MountFlags::RDONLY)
        && !data
            .split(|byte| *byte == b',')
            .any(|option| option.starts_with(b"rescue="))
    {
        mount_options::add(&mut data, b"rescue=nologreplay");
    }
    mount(
        source,
        keep(&[options.settings.mountpoint]),
        keep(&[fstype]),
        flags,
        keep(&[&data]),
    )
    .map_err(|errno| STAGE.failed(Step::Mount, errno, subject))
}
