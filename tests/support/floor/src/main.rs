//! The floor: `/init` as a program that looks for nothing, one step after the other. What no sequential first stage can beat.
//!
//! It knows the modules, the device and the verity table (`/verity` in the initrd: the device-mapper UUID, the sectors and the
//! target's parameters, one line each). The machine is QEMU's with a virtio disk, /usr is btrfs, stage 2 squashfs.

use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use linux_raw_sys::loop_device::{
    LO_FLAGS_AUTOCLEAR, LO_FLAGS_READ_ONLY, LOOP_CONFIGURE, loop_config,
};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use rustix::system::{RebootCommand, finit_module, reboot};
use toehold::format::dm::{self, Command as Dm};
use toehold::text::{Line, push};

/// What this machine cannot boot without, the disk's driver first: while it scans for partitions the others load.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "dm_mod",
    "dm_bufio",
    "reed_solomon",
    "dm_verity",
    "loop",
    "squashfs",
    "overlay",
    "crc32c_generic",
    "libcrc32c",
    "zstd_compress",
    "raid6_pq",
    "xor",
    "btrfs",
];
const DISK: &str = "/dev/vda2";
const IMAGE: &str = "/sysusr/usr/lib/flatcar/bootengine.img";
const LAYERS: &str = "lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";

fn main() {
    let Err(error) = boot();
    let _ = fs::write("/dev/kmsg", format!("floor: {error:#}"));
    let _ = reboot(RebootCommand::Restart);
}

fn boot() -> Result<std::convert::Infallible> {
    let none = MountFlags::empty();
    let hardened = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    attach("proc", "/proc", "proc", hardened, "")?;
    attach("sysfs", "/sys", "sysfs", hardened, "")?;
    attach("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, "")?;
    attach(
        "tmpfs",
        "/run",
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        "mode=0755",
    )?;

    for name in MODULES {
        let path = format!("/lib/modules/{name}.ko");
        let load = || finit_module(File::open(&path)?, c"", 0).map_err(io::Error::from);
        load().with_context(|| path.clone())?;
    }
    while !fs::exists(DISK)? {
        sleep(Duration::from_millis(1));
    }

    verity().context("verity")?;
    attach(
        "/dev/dm-0",
        "/sysusr/usr",
        "btrfs",
        MountFlags::RDONLY,
        "rescue=nologreplay",
    )?;
    let _loop = loop_device().context(IMAGE)?;
    attach(
        "/dev/loop0",
        "/stage2/image",
        "squashfs",
        MountFlags::RDONLY,
        "",
    )?;
    attach("tmpfs", "/stage2/rw", "tmpfs", none, "mode=0755,size=50%")?;
    for layer in ["upper", "work"] {
        fs::create_dir(format!("/stage2/rw/{layer}"))?;
    }
    attach("overlay", "/stage2/root", "overlay", none, LAYERS)?;

    for point in ["/dev", "/proc", "/sys", "/run", "/sysusr/usr"] {
        mount_move(point, format!("/stage2/root{point}")).context(point)?;
    }
    chdir("/stage2/root")?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    Err(Command::new("/init").exec()).context("/init")
}

fn attach(source: &str, point: &str, fstype: &str, flags: MountFlags, data: &str) -> Result<()> {
    let data = std::ffi::CString::new(data)?;
    mount(source, point, fstype, flags, &*data).with_context(|| format!("{source} on {point}"))
}

/// Makes /dev/dm-0 with the table that the initrd has.
fn verity() -> Result<()> {
    let text = fs::read_to_string("/verity")?;
    let [uuid, sectors, table] = text.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("/verity has not three lines");
    };
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")?;
    let mut request = Line::new();
    dm::start(&mut request, b"usr", 0);
    push(&mut request, uuid.as_bytes());
    send(&control, Dm::Create, &mut request)?;
    dm::start(&mut request, b"usr", dm::READ_ONLY);
    dm::add_target(&mut request, sectors.parse()?);
    push(&mut request, table.as_bytes());
    send(&control, Dm::TableLoad, &mut request)?;
    dm::start(&mut request, b"usr", 0);
    send(&control, Dm::Suspend, &mut request)?;
    // For veritysetup in stage 2, which looks there.
    std::os::unix::fs::symlink("../dm-0", "/dev/mapper/usr")?;
    Ok(())
}

/// Sends a device-mapper request; the answer replaces it.
fn send(control: &File, command: Dm, request: &mut Line) -> Result<()> {
    dm::finish(request);
    // SAFETY: the buffer is as long as its header says, see `finish`.
    let result = unsafe {
        libc::ioctl(
            control.as_raw_fd(),
            command as libc::Ioctl,
            request.as_mut_ptr(),
        )
    };
    done(result).context("device-mapper")
}

/// The error of a call of libc's that answers -1 for it.
fn done(result: i32) -> Result<()> {
    ensure!(result != -1, io::Error::last_os_error());
    Ok(())
}

/// Puts the stage-2 image on /dev/loop0, until the returned file is closed and nothing has it mounted.
fn loop_device() -> Result<File> {
    let image = File::open(IMAGE)?;
    let device = File::open("/dev/loop0")?;
    // SAFETY: numbers and bytes: all zeroes is a loop_config.
    let mut config: loop_config = unsafe { zeroed() };
    config.fd = image.as_raw_fd().cast_unsigned();
    config.info.lo_flags = LO_FLAGS_READ_ONLY as u32 | LO_FLAGS_AUTOCLEAR as u32;
    // SAFETY: reads a loop_config.
    let result = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            LOOP_CONFIGURE as libc::Ioctl,
            &raw const config,
        )
    };
    done(result)?;
    Ok(device)
}
