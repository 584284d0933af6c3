//! Stage 5: /usr, mounted.

use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::open;
use crate::sys::memory::keep_one;
use crate::sys::mounts::mount;
use rustix::fs::OFlags;
use rustix::mount::MountFlags;
use toehold::failure::{Error, Step};
use toehold::format::plan::Key;
use toehold::format::{filesystem, mount_options};
use toehold::options::Word;
use toehold::text::Line;

pub fn run(boot: &mut Boot) -> Call {
    let node = boot.device();
    let mut fstype = boot.options.value(Word::Fstype);
    if fstype == b"auto" {
        boot.step = Step::Open;
        let device = open(node, OFlags::RDONLY)?;
        boot.step = Step::Detect;
        fstype = filesystem::name(&device).ok_or(Error::REFUSED)?;
    }
    boot.require_filesystem(fstype)?;
    let mut data = Line::new();
    let flags = mount_options::split(boot.options.value(Word::MountOptions), &mut data);
    // A log to be replayed would have to be written.
    if fstype == b"btrfs" && flags.contains(MountFlags::RDONLY) {
        mount_options::add(&mut data, b"rescue=nologreplay");
    }
    let target = keep_one(boot.setting(Key::Mountpoint));
    let fstype = keep_one(fstype);
    boot.step = Step::Mount;
    mount(node, target, fstype, flags, keep_one(&data))
}
