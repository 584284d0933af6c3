//! Stage 1: the kernel's filesystems, the log, the command line and the plan.

use crate::machine::outcome::{About, During, Outcome, about, refused};
use crate::machine::{Machine, plan};
use crate::sys::files::{contents, make_directory, open};
use crate::sys::log::Log;
use crate::sys::memory::intern_file;
use crate::sys::mounts::mount;
use crate::sys::trace;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use toehold::asked::{Asked, Word};
use toehold::failure::{Failure, Step};
use toehold::format::plan::Key;
use toehold::text::Line;

/// Words of the command line that were set at the rescue console. The file is there when the boot
/// is tried again.
pub const SET_WORDS: &CStr = c"/run/toehold/set";

const HARDENED: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

const MEMORY: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::STRICTATIME);

/// Type, mount point, flags and data as systemd mounts them (its src/shared/mount-setup.c).
const MOUNTS: [(&CStr, &CStr, MountFlags, &CStr); 6] = [
    (c"proc", c"/proc", HARDENED, c""),
    (c"sysfs", c"/sys", HARDENED, c""),
    (
        c"devtmpfs",
        c"/dev",
        MountFlags::NOSUID.union(MountFlags::STRICTATIME),
        c"mode=0755",
    ),
    (
        c"devpts",
        c"/dev/pts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        c"mode=0620,gid=5",
    ),
    (c"tmpfs", c"/dev/shm", MEMORY, c"mode=01777"),
    (
        c"tmpfs",
        c"/run",
        MEMORY,
        c"mode=0755,size=20%,nr_inodes=800k",
    ),
];

pub fn run(machine: &mut Machine) -> Outcome {
    let set_words = intern_file(SET_WORDS);
    // When the boot is tried again all of them are mounted.
    let mounted = if set_words.is_ok() {
        Ok(())
    } else {
        mount_all()
    };
    // After all of them: what failed should reach the log if there is one.
    machine.log.open();
    mounted?;

    let path = c"/proc/cmdline";
    let command_line = intern_file(path)
        .during(Step::Read)
        .about(path.to_bytes())?;

    plan::read(machine)?;
    check_release(machine);

    let (plan, schedule) = (&machine.plan, &mut machine.schedule);
    let lines = [command_line, set_words.unwrap_or_default()];
    let result = machine
        .request
        .read(lines, plan, &mut |list| schedule.bar(plan, list));
    machine.patience = machine.request.timeout;
    let asked = &machine.request.asked;
    start_trace(asked, &machine.log);
    result.map_err(|(stage, word)| about(refused(Step::Options).in_stage(stage), word))
}

/// Mounts what is not mounted yet. The failure is the last one.
fn mount_all() -> Outcome {
    let mut result = Ok(());
    for (fstype, target, flags, data) in &MOUNTS {
        let _ = make_directory(target);
        match mount(fstype, target, fstype, *flags, data) {
            // Busy: it is mounted there already.
            Err(error) if !error.is(Errno::BUSY) => {
                let failure = Failure::new(Step::Mount, error);
                result = Err(about(failure, target.to_bytes()));
            }
            _ => {}
        }
    }
    result
}

/// Starts or stops the trace: whether system calls are traced is known from here on.
fn start_trace(asked: &Asked, log: &Log) {
    let to_file = asked.value(Word::Trace) == b"file";
    if !to_file && asked.boolean(Word::Trace) != Some(true) {
        return trace::stop();
    }
    if to_file {
        let _ = make_directory(c"/run/toehold");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        if let Ok(file) = open(c"/run/toehold/trace", flags) {
            trace::copy_to(Log { file, prefix: None });
        }
    }
    trace::start(*log);
}

/// A kernel takes its own modules only.
fn check_release(machine: &Machine) {
    let mut text = Line::new();
    let running = contents(&mut text, b"/proc/sys/kernel/osrelease", &[]);
    let planned = machine.plan.text(Key::Release);
    if running != planned {
        machine
            .log
            .error(b"kernel %, plan %: rebuild the initrd", &[running, planned]);
    }
}
