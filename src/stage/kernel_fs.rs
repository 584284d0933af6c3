//! Stage 1: the kernel's filesystems, the log, the command line and the plan.

use crate::boot::Boot;
use crate::emergency::WORDS;
use crate::sys::call::Result as Call;
use crate::sys::files::{self, contents, make_directory, open};
use crate::sys::memory::{self, keep_one};
use crate::sys::mounts::mount;
use crate::sys::trace;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use toehold::failure::{Error, Step};
use toehold::format::plan::{self, ABSENT, Key};
use toehold::options::Word;
use toehold::schedule::State;
use toehold::text::Line;

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

/// Mounts what is not mounted yet, and reads what we are told.
pub fn run(boot: &mut Boot) -> Call {
    let mut line = Line::new();
    // There is such a file when the boot is tried again; then all of it is mounted.
    let again = files::read(&mut line, WORDS, &[]).is_ok();
    let more = keep_one(&line).to_bytes();
    let mut result = Ok(());
    for (fstype, target, flags, data) in &MOUNTS {
        if again {
            break;
        }
        let _ = make_directory(target);
        match mount(fstype, target, fstype, *flags, data) {
            // Busy: it is mounted there already.
            Err(error) if !error.is(Errno::BUSY) => {
                boot.subject = Some(target.to_bytes());
                result = Err(error);
            }
            _ => {}
        }
    }
    // After all of them: what failed should reach the log if there is one.
    boot.log.open();
    result?;

    let path = b"/proc/cmdline";
    boot.subject = Some(path);
    boot.step = Step::Read;
    files::read(&mut line, path, &[])?;
    let words = keep_one(&line).to_bytes();

    read_plan(boot)?;
    check_release(boot, &mut line);

    boot.step = Step::Options;
    let result = boot
        .options
        .read(words, more, &boot.plan, &mut boot.schedule, &mut boot.stage);
    start_trace(boot);
    result.map_err(|word| {
        boot.subject = Some(word);
        Error::REFUSED
    })
}

/// Whether system calls are traced is known from here on.
fn start_trace(boot: &Boot) {
    let to = boot.options.value(Word::Trace);
    if to == b"0" {
        return trace::stop();
    }
    if to == b"file" {
        let _ = make_directory(c"/run/toehold");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        if let Ok(file) = open(c"/run/toehold/trace", flags) {
            trace::keep(file);
        }
    }
    trace::start(boot.log);
}

/// A kernel takes its own modules only.
fn check_release(boot: &Boot, text: &mut Line) {
    let running = contents(text, b"/proc/sys/kernel/osrelease", &[]);
    let planned = boot.plan.text(Key::Release);
    if running != planned {
        boot.log.error(
            b"this is Linux %, the modules are for %: rebuild the initrd",
            &[running, planned],
        );
    }
}

/// Reads the initrd's plan, and checks it.
pub fn read_plan(boot: &mut Boot) -> Call {
    boot.subject = Some(plan::PATH.to_bytes());
    boot.step = Step::Plan;
    let file = open(plan::PATH, OFlags::RDONLY)?;
    let size = file.status()?.size;
    let plan = memory::map(file, size)?;
    boot.plan.open(plan).map_err(|_| Error::REFUSED)?;
    for module in boot.plan.modules() {
        if module.flags & ABSENT != 0 {
            boot.schedule.settle(module.number, State::ABSENT);
        }
    }
    Ok(())
}
