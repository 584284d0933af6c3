//! Stage 1: the kernel's filesystems, the log, the command line and the plan.

use crate::journal::Journal;
use crate::sys::files::{CWD, make_directory, open, read_file};
use crate::sys::memory::{self, keep};
use crate::sys::mounts::mount;
use core::ffi::CStr;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::plan::{Key, Plan};

/// Where the builder puts it ([`toehold::format::plan::PATH`]).
const PLAN: &CStr = c"/toehold.plan";

const HARDENED: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

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
    (
        c"tmpfs",
        c"/dev/shm",
        MountFlags::NOSUID
            .union(MountFlags::NODEV)
            .union(MountFlags::STRICTATIME),
        c"mode=01777",
    ),
    (
        c"tmpfs",
        c"/run",
        MountFlags::NOSUID
            .union(MountFlags::NODEV)
            .union(MountFlags::STRICTATIME),
        c"mode=0755",
    ),
];

/// Mounts what is not mounted yet, and reads what we are told.
pub fn run(journal: &mut Journal) -> Result<(&'static [u8], Plan<'static>), Failure> {
    let mut result = Ok(());
    for (fstype, target, flags, data) in MOUNTS {
        let _ = make_directory(target);
        match mount(fstype, target, fstype, flags, data) {
            // Busy: it is mounted there already.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => {
                result = Err(Stage::KernelFs.failed(Step::Mount, errno, target.to_bytes()));
            }
        }
    }
    // After all of them: what failed should reach the log if there is one.
    journal.open();
    result?;

    let line = read_command_line()
        .map_err(|errno| Stage::KernelFs.failed(Step::Read, errno, b"/proc/cmdline"))?;
    let plan =
        map_plan().map_err(|errno| Stage::KernelFs.failed(Step::Plan, errno, PLAN.to_bytes()))?;
    let plan =
        Plan::parse(plan).map_err(|_| Stage::KernelFs.refused(Step::Plan, PLAN.to_bytes()))?;
    if let Some(seconds) = plan
        .setting(Key::PromptSeconds)
        .and_then(<[u8]>::first_chunk)
    {
        journal.restart_after = u32::from_le_bytes(*seconds).into();
    }
    Ok((line, plan))
}

fn read_command_line() -> Result<&'static [u8], Errno> {
    let mut buffer = [0; 3072];
    let line = read_file(CWD, c"/proc/cmdline", &mut buffer)?;
    Ok(keep(&[line]).to_bytes())
}

fn map_plan() -> Result<&'static [u8], Errno> {
    let file = open(PLAN)?;
    memory::map(file, file.status()?.size)
}
