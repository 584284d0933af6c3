//! Stage 4: the verity device: made, proven on one block, and only then armed.

use crate::boot::Boot;
use crate::stage::device::Device;
use crate::sys::call::Result as Call;
use crate::sys::dm::send;
use crate::sys::files::{self, File, make_directory, open, symlink, write_file};
use crate::sys::memory::{keep, keep_numbered};
use core::ffi::CStr;
use rustix::fs::{OFlags, minor};
use toehold::failure::{At, Problem, Step};
use toehold::format::dm::{self, Command};
use toehold::format::filesystem;
use toehold::format::plan::Key;
use toehold::format::verity::{SUPERBLOCK, Superblock};
use toehold::options::Word;
use toehold::text::Line;

pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    let device = boot.device()?;
    let root_hash = boot.options.value(Word::RootHash, b"");
    if root_hash.is_empty() {
        boot.journal
            .log
            .error(b"% is used without verification", &[device.node.to_bytes()]);
        return Ok(());
    }
    boot.require(b"dm-verity")?;

    let disk = open(device.node, OFlags::RDONLY).at(Step::Open)?;
    let hash_offset = match boot.plan.number(Key::HashOffset) {
        Some(offset) => offset,
        None => {
            filesystem::detect(&disk)
                .ok_or(Step::Detect.refused())?
                .size
        }
    };
    let mut block = [0; SUPERBLOCK];
    disk.read_exact_at(hash_offset, &mut block)
        .at(Step::Superblock)?;
    let superblock = Superblock::parse(&block)
        // What lies behind the superblock is the tree, not data.
        .filter(|superblock| superblock.sectors() <= hash_offset / 512)
        .ok_or(Step::Superblock.refused())?;

    let control = open(c"/dev/mapper/control", OFlags::RDWR).at(Step::Control)?;
    let name = boot.setting(Key::VerityName);
    let request = Line::new();
    let mut target = Target {
        control,
        name,
        superblock,
        device: device.number,
        hash_offset,
        root_hash,
        request,
    };
    let number = target.create().at(Step::Create)?;
    match target.activate(number, boot.setting(Key::OnCorruption)) {
        Ok(node) => {
            boot.search.found = Some(Device { node, ..device });
            Ok(())
        }
        Err(problem) => {
            // Nothing half made is left behind.
            let _ = target.send(Command::Remove);
            Err(problem)
        }
    }
}

/// What the device-mapper device is to be.
struct Target<'a> {
    control: File,
    name: &'static [u8],
    superblock: Superblock<'a>,
    device: &'a [u8],
    hash_offset: u64,
    root_hash: &'a [u8],
    request: Line,
}

impl Target<'_> {
    /// Creates the device, without a table, and returns its minor number.
    fn create(&mut self) -> Call<usize> {
        dm::start(&mut self.request, self.name, 0);
        self.superblock.push_uuid(&mut self.request, self.name);
        dm::end_header(&mut self.request);
        send(self.control, Command::Create, &mut self.request)?;
        Ok(minor(dm::device_number(&self.request)) as usize)
    }

    /// A request without a table. Resume is one: Suspend, with no flag set.
    fn send(&mut self, command: Command) -> Call {
        dm::start(&mut self.request, self.name, 0);
        send(self.control, command, &mut self.request)
    }

    /// Loads the table and makes it the live one.
    fn set_table(&mut self, policy: &[u8], load: Step) -> Result<(), Problem> {
        let request = &mut self.request;
        dm::start(request, self.name, dm::READ_ONLY);
        dm::add_target(request, self.superblock.sectors());
        self.superblock.push_table(
            request,
            self.device,
            self.hash_offset,
            self.root_hash,
            policy,
        );
        send(self.control, Command::TableLoad, request).at(load)?;
        self.send(Command::Suspend).at(Step::Resume)?;
        // A resume without a table succeeds as well: see that there is one.
        if dm::target_count(&self.request) == 1 {
            Ok(())
        } else {
            Err(Step::Resume.refused())
        }
    }

    /// Proves one block without a policy, so that a wrong root hash is an error to be told and not a panic; then sets
    /// the policy, and makes the device known. Returns its node.
    fn activate(&mut self, minor: usize, policy: &[u8]) -> Result<&'static CStr, Problem> {
        self.set_table(b"", Step::Load)?;
        let device = keep_numbered(b"/dev/dm-%", minor);
        files::probe(device, self.superblock.data_block_size() as usize).at(Step::Probe)?;
        self.send(Command::TableStatus).at(Step::Probe)?;
        if dm::status(&self.request) != Some(b'V') {
            return Err(Step::Probe.refused());
        }
        if !policy.is_empty() {
            self.set_table(policy, Step::Arm)?;
        }
        let node = keep(b"/dev/mapper/%", &[self.name]);
        // As udev itself would make it.
        symlink(keep_numbered(b"../dm-%", minor), node)
            .and_then(|()| tell_udev(self.name))
            .at(Step::Node)?;
        Ok(node)
    }
}

/// udev in stage 2 ignores device-mapper devices that it did not see made; with this rule it takes ours.
fn tell_udev(name: &[u8]) -> Call {
    make_directory(c"/run/udev")?;
    make_directory(c"/run/udev/rules.d")?;
    let rule = keep(
        b"ACTION!=\"remove\", SUBSYSTEM==\"block\", KERNEL==\"dm-*\", ATTR{dm/name}==\"%\", \
ATTR{dm/uuid}==\"CRYPT-VERITY-*\", ENV{DM_UDEV_PRIMARY_SOURCE_FLAG}=\"1\", OPTIONS+=\"db_persist\"\n",
        &[name],
    );
    write_file(c"/run/udev/rules.d/09-toehold.rules", rule.to_bytes())
}
