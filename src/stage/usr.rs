//! Stage 5: /usr, or the root itself, mounted.

use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::memory::keep_one;
use crate::sys::mounts::mount;
use rustix::mount::MountFlags;
use toehold::failure::Step;
use toehold::format::mount_options;
use toehold::format::plan::Key;
use toehold::options::Word;
use toehold::text::Line;

pub fn run(boot: &mut Boot) -> Call {
    let target = keep_one(boot.setting(Key::Mountpoint));
    if boot.is_netboot() {
        return boot.mount_image(keep_one(boot.setting(Key::Netboot)), target);
    }
    let node = boot.device();
    let fstype = boot.options.value(Word::Fstype);
    let fstype = if fstype == b"auto" {
        boot.detect(node)?
    } else {
        boot.require_filesystem(fstype)?;
        keep_one(fstype)
    };
    let mut data = Line::new();
    let mut flags = mount_options::split(boot.options.value(Word::MountOptions), &mut data);
    if boot.options.target.root_hash.is_some() {
        // The kernel would refuse to write there, and mount(8) then goes on like this, too.
        flags |= MountFlags::RDONLY;
    }
    // A log to be replayed would have to be written.
    if fstype.to_bytes() == b"btrfs" && flags.contains(MountFlags::RDONLY) {
        mount_options::add(&mut data, b"rescue=nologreplay");
    }
    boot.step = Step::Mount;
    mount(node, target, fstype, flags, keep_one(&data))
}
