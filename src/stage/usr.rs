//! Stage 5: /usr, or the root itself, mounted.

use crate::machine::filesystem::{detect, mount_image};
use crate::machine::modules::require_filesystem;
use crate::machine::outcome::{About, During, Outcome};
use crate::machine::{Machine, devices};
use crate::sys::memory::intern;
use crate::sys::mounts::mount;
use core::ffi::CStr;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use toehold::asked::Word;
use toehold::failure::{Failure, Step};
use toehold::format::mount_options;
use toehold::format::plan::Key;
use toehold::text::Line;

pub fn run(machine: &mut Machine) -> Outcome {
    let target = intern(machine.plan.text(Key::Mountpoint));
    if machine.request.is_netboot() {
        let image = intern(machine.plan.text(Key::Netboot));
        return mount_image(machine, image, target);
    }
    let node = devices::usr(machine);
    mount_device(machine, node, target).about(node.to_bytes())
}

fn mount_device(machine: &mut Machine, node: &CStr, target: &CStr) -> Outcome {
    let fstype = machine.request.asked.value(Word::Fstype);
    let fstype = if fstype == b"auto" {
        detect(machine, node)?
    } else {
        require_filesystem(machine, fstype)?;
        intern(fstype)
    };
    let mut data = Line::new();
    let options = machine.request.asked.value(Word::MountOptions);
    let mut flags = mount_options::split(options, &mut data);
    if data.is_full() {
        return Err(Failure::new(Step::Mount, Errno::TOOBIG.into()));
    }
    if machine.request.root_hash.is_some() {
        // The kernel would refuse to write there, and mount(8) then goes on like this, too.
        flags |= MountFlags::RDONLY;
    }
    // Without this btrfs replays the log that a crash has left, for which it would have to write to
    // the verified device. On others it does: what is made writable later needs that.
    if fstype.to_bytes() == b"btrfs" && machine.request.root_hash.is_some() {
        mount_options::add(&mut data, b"rescue=nologreplay");
    }
    mount(node, target, fstype, flags, intern(&data)).during(Step::Mount)
}
