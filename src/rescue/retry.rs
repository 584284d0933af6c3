//! The boot tried again from the start.

use crate::machine::Machine;
use crate::stage::kernel_fs::SET_WORDS;
use crate::stage::verity;
use crate::sys::call::Result as Call;
use crate::sys::files::{make_directory, open};
use crate::sys::memory::intern;
use crate::sys::mounts::detach;
use crate::sys::process;
use rustix::fs::OFlags;
use toehold::format::plan::{self, Key};
use toehold::shared::{STAGE2_IMAGE, STAGE2_ROOT, STAGE2_WRITABLE};

/// Adds to the words of the command line for the next attempt. That their file is there tells that
/// there was an attempt before.
pub fn add_words(text: &[u8]) -> Call {
    let _ = make_directory(c"/run/toehold");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    let file = open(SET_WORDS, flags)?;
    file.write(text)
}

/// Takes down what was set up, and becomes the init that the kernel started. Returns only if there
/// is none any more.
pub fn retry(machine: &mut Machine) {
    if open(plan::PATH, OFlags::RDONLY).is_err() {
        return;
    }
    machine.log.info(b"retry", &[]);
    let _ = add_words(b"");
    process::close_all();
    let usr = intern(machine.plan.text(Key::Mountpoint));
    for mount in [STAGE2_ROOT, STAGE2_IMAGE, STAGE2_WRITABLE, usr] {
        let _ = detach(mount);
    }
    verity::remove(machine);
    machine.arguments.start_over();
}
