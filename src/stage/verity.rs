//! Stage 4: the verity device: made, proven on one block, and only then armed.

use super::device::Device;
use super::modules::Modules;
use crate::journal::Journal;
use crate::sys::call::Result as Call;
use crate::sys::files::{self, CWD, File, make_directory, open, open_at, symlink, write_file};
use crate::sys::memory::keep;
use core::ffi::CStr;
use rustix::fs::{OFlags, minor};
use rustix::io::Errno;
use toehold::failure::{Failure, Stage, Step};
use toehold::format::dm::{self, Command};
use toehold::format::filesystem;
use toehold::format::verity::{SUPERBLOCK, Superblock};
use toehold::options::Options;
use toehold::text::{Text, push_number};

const STAGE: Stage = Stage::Verity;

/// Returns the node to mount: the verified device, or the plain one where no verification is asked for.
pub fn run(
    options: &Options,
    device: &Device,
    modules: &mut Modules,
    journal: &Journal,
) -> Result<&'static CStr, Failure> {
    let Some(root_hash) = options.root_hash else {
        journal.warning(&[device.node.to_bytes(), b" is used without verification"]);
        return Ok(device.node);
    };
    let subject = device.node.to_bytes();
    let failed = |step| move |errno| STAGE.failed(step, errno, subject);
    let settings = &options.settings;
    modules.request(b"dm-verity", journal);

    let disk = open(device.node).map_err(failed(Step::Open))?;
    let offset = match settings.hash_offset {
        Some(offset) => offset,
        None => {
            filesystem::detect(&disk)
                .ok_or(STAGE.refused(Step::Detect, subject))?
                .size
        }
    };
    let mut block = [0; SUPERBLOCK];
    disk.read_exact_at(offset, &mut block)
        .map_err(failed(Step::Superblock))?;
    let superblock = Superblock::parse(&block)
        // What lies behind the superblock is the tree, not data.
        .filter(|superblock| superblock.sectors() <= offset / 512)
        .ok_or(STAGE.refused(Step::Superblock, subject))?;

    let control =
        open_at(&CWD, c"/dev/mapper/control", OFlags::RDWR).map_err(failed(Step::Control))?;
    let target = Target {
        control,
        name: settings.verity_name,
        superblock,
        device,
        offset,
        root_hash,
    };
    let number = target.create().map_err(failed(Step::Create))?;
    let mut digits = Text::new();
    push_number(&mut digits, minor(number).into());
    let activated = target
        .activate(settings.on_corruption, keep(&[b"/dev/dm-", &digits]))
        .and_then(|()| {
            let node = keep(&[b"/dev/mapper/", target.name]);
            symlink(keep(&[b"../dm-", &digits]), node)
                .and_then(|()| tell_udev(target.name))
                .map_err(|errno| (Step::Node, errno))?;
            Ok(node)
        });
    activated.map_err(|(step, errno)| {
        // Nothing half made is left behind.
        let _ = target.remove();
        STAGE.failed(step, errno, subject)
    })
}

/// What the device-mapper device is to be.
struct Target<'a> {
    control: File,
    name: &'static [u8],
    superblock: Superblock<'a>,
    device: &'a Device,
    offset: u64,
    root_hash: &'static [u8],
}

impl Target<'_> {
    /// Creates the device, without a table, and returns its number.
    fn create(&self) -> Call<u64> {
        let (mut uuid, mut request) = (Text::new(), Text::new());
        self.superblock.push_uuid(&mut uuid, self.name);
        dm::request(&mut request, self.name, &uuid, 0, 0);
        crate::sys::dm::send(&self.control, Command::Create, &mut request)?;
        Ok(dm::device_number(&request))
    }

    fn remove(&self) -> Call {
        self.send(Command::Remove, 0).map(|_| ())
    }

    /// A request without a table.
    fn send(&self, command: Command, flags: u32) -> Call<Text> {
        let mut request = Text::new();
        dm::request(&mut request, self.name, b"", flags, 0);
        crate::sys::dm::send(&self.control, command, &mut request)?;
        Ok(request)
    }

    /// Loads the table and makes it the live one.
    fn set_table(&self, policy: &[u8]) -> Call {
        let mut request = Text::new();
        dm::request(&mut request, self.name, b"", dm::READ_ONLY, 1);
        dm::target(&mut request, self.superblock.sectors());
        self.superblock.push_table(
            &mut request,
            self.device.number,
            self.offset,
            self.root_hash,
            policy,
        );
        crate::sys::dm::send(&self.control, Command::TableLoad, &mut request)?;
        // A resume without a table succeeds as well: see that there is one.
        let answer = self.send(Command::Suspend, 0)?;
        if dm::target_count(&answer) == 1 {
            Ok(())
        } else {
            Err(Errno::NXIO)
        }
    }

    /// Proves one block without a policy, so that a wrong root hash is an error to be told and not a panic; then sets the policy.
    fn activate(&self, policy: &[u8], node: &CStr) -> Result<(), (Step, Errno)> {
        self.set_table(b"").map_err(|errno| (Step::Load, errno))?;
        files::probe(node, self.superblock.data_block_size as usize)
            .map_err(|errno| (Step::Probe, errno))?;
        let answer = self
            .send(Command::TableStatus, 0)
            .map_err(|errno| (Step::Probe, errno))?;
        if dm::status(&answer) != Some(b'V') {
            return Err((Step::Probe, Errno::IO));
        }
        if policy.is_empty() {
            return Ok(());
        }
        self.set_table(policy).map_err(|errno| (Step::Arm, errno))
    }
}

/// udev in stage 2 ignores device-mapper devices that udev did not see made; this rule makes it take ours.
fn tell_udev(name: &[u8]) -> Call {
    make_directory(c"/run/udev")?;
    make_directory(c"/run/udev/rules.d")?;
    let rule = keep(&[
        b"ACTION!=\"remove\", SUBSYSTEM==\"block\", KERNEL==\"dm-*\", ATTR{dm/name}==\"",
        name,
        b"\", ATTR{dm/uuid}==\"CRYPT-VERITY-*\", ENV{DM_UDEV_PRIMARY_SOURCE_FLAG}=\"1\", OPTIONS+=\"db_persist\"\n",
    ]);
    write_file(c"/run/udev/rules.d/09-toehold.rules", rule.to_bytes())
}
