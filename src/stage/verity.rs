//! Stage 4: the verity device: made, proven on one block, and only then armed.

use crate::boot::Boot;
use crate::stage::device::{self, Device, candidates};
use crate::sys::call::Result as Call;
use crate::sys::dm::send;
use crate::sys::files::{self, File, make_directory, open, symlink, write_file};
use crate::sys::keys;
use crate::sys::memory::{keep, keep_numbered, keep_one};
use core::ffi::CStr;
use rustix::fs::{OFlags, minor};
use rustix::io::Errno;
use toehold::failure::{At, Problem, Stage, Step};
use toehold::format::dm::{self, Command};
use toehold::format::filesystem;
use toehold::format::plan::Key;
use toehold::format::uevent::NONE;
use toehold::format::verity::{self, Parameter, Superblock, Target};
use toehold::options::Role;
use toehold::text::Line;

/// The version of the kernel's target since which it can act on I/O errors.
const ACTS_ON_ERRORS: (u32, u32) = (1, 10);

pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    if boot.options.root_hash.is_none() {
        let device = boot.device()?;
        boot.journal
            .log
            .error(b"% is used without verification", &[device.node.to_bytes()]);
        return Ok(());
    }
    boot.require(b"dm-verity")?;
    let control = open(c"/dev/mapper/control", OFlags::RDWR).at(Step::Control)?;
    check_error_policy(boot, control);

    loop {
        let answers = boot.search.answers;
        let Err(problem) = try_all(boot, control) else {
            return Ok(());
        };
        // Another device may answer as soon as its driver is there, and one that went away may come back.
        boot.finish();
        device::drain(boot);
        if boot.search.answers == answers && boot.lacks().is_none() {
            return Err(problem);
        }
        device::run(boot)?;
        boot.stage = Stage::Verity;
    }
}

/// Drops what is to be done about I/O errors where this kernel would refuse it.
fn check_error_policy(boot: &mut Boot, control: File) {
    let Some(policy) = boot.options.parameters.get(Parameter::OnError) else {
        return;
    };
    let mut request = Line::new();
    dm::start(&mut request, b"", 0);
    let listed = send(control, Command::ListVersions, &mut request);
    let version = listed
        .ok()
        .and_then(|()| dm::target_version(&request, b"verity"));
    if version.is_none_or(|version| version < ACTS_ON_ERRORS) {
        boot.journal
            .log
            .error(b"%: not in this kernel, left out", &[policy]);
        boot.options.parameters.remove(Parameter::OnError);
    }
}

/// Tries the devices that answer, one set after the other, until one is verified.
fn try_all(boot: &mut Boot, control: File) -> Result<(), Problem> {
    if !boot.search.ambiguous {
        return try_one(boot, control, boot.search.found);
    }
    let loader = candidates::loader_disk(boot);
    let has_tree = !boot.options.spec(Role::Tree).text.is_empty();
    let (mut last, mut data_rank) = (Step::Open.refused(), 0);
    while let Some((rank, data)) = candidates::next(boot, Role::Data, loader, data_rank) {
        data_rank = rank;
        let correction = candidates::next(boot, Role::Correction, data.disk, 0);
        let mut tree_rank = 0;
        loop {
            let tree = candidates::next(boot, Role::Tree, data.disk, tree_rank);
            if tree.is_none() && has_tree {
                break;
            }
            let devices = [Some((0, data)), tree, correction].map(|found| Some(found?.1));
            let Err(problem) = try_one(boot, control, devices) else {
                let why: &[u8] = if data.disk == loader && loader != NONE {
                    b"it is on the boot loader's disk"
                } else {
                    b"its disk is the first of those that verify"
                };
                let parts = [data.node.to_bytes(), why];
                let text = b"several devices answer: % taken, %";
                boot.journal.log.error(text, &parts);
                return Ok(());
            };
            let mut line = Line::new();
            problem.describe(data.node.to_bytes(), &mut line);
            boot.journal.log.error(b"not taken: %", &[&line]);
            last = problem;
            match tree {
                Some((rank, _)) => tree_rank = rank,
                None => break,
            }
        }
    }
    Err(last)
}

/// Makes the verity device of one set of devices, by [`Role`].
fn try_one(
    boot: &mut Boot,
    control: File,
    [data, tree, correction]: [Option<Device>; 3],
) -> Result<(), Problem> {
    let data = data.ok_or(Step::Open.refused())?;
    boot.subject = Some(data.node.to_bytes());
    let disk = open(tree.unwrap_or(data).node, OFlags::RDONLY).at(Step::Open)?;
    let target = lay_out(boot, disk, data, tree, correction);
    disk.close();
    let mut mapping = Mapping {
        control,
        name: boot.setting(Key::VerityName),
        target: target?,
        request: Line::new(),
    };
    let number = mapping.create().at(Step::Create)?;
    match mapping.activate(number, data.node) {
        Ok(node) => {
            let [place, ..] = &mut boot.search.found;
            *place = Some(Device { node, ..data });
            Ok(())
        }
        Err(problem) => {
            // Nothing half made is left behind.
            let _ = mapping.send(Command::Remove);
            Err(problem)
        }
    }
}

/// Finds out how data and tree lie. `disk` has the tree, and if `tree` is nothing the data, too.
fn lay_out<'a>(
    boot: &'a Boot,
    disk: File,
    data: Device,
    tree: Option<Device>,
    correction: Option<Device>,
) -> Result<Target<'a>, Problem> {
    let parameters = &boot.options.parameters;
    let offsets = match (parameters.number(Parameter::HashOffset), tree) {
        (Some(offset), _) => [Some(offset), None],
        (None, Some(_)) => [Some(0), None],
        (None, None) => [
            filesystem::detect(&disk).and_then(|found| found.size),
            boot.plan.number(Key::HashOffsetFallback),
        ],
    };
    let mut found = Err(Step::Detect.refused());
    for offset in offsets.into_iter().flatten() {
        found = read_superblock(boot, disk, offset).map(|superblock| (superblock, offset));
        if found.is_ok() {
            break;
        }
    }
    let (mut superblock, hash_offset) = found?;
    let room = match tree {
        // What lies from there on is the tree, not data.
        None => hash_offset,
        Some(_) => size(data.node)?,
    };
    superblock.cover(room);
    if !superblock.is_good() || superblock.sectors() > room / 512 {
        return Err(Step::Superblock.refused());
    }
    let mut target = Target {
        superblock,
        parameters,
        root_hash: boot.options.root_hash.unwrap_or_default(),
        devices: [
            data.number,
            tree.unwrap_or(data).number,
            correction.map_or(b"", |device| device.number),
        ],
        hash_offset,
        hash_device_size: disk.geometry().at(Step::Open)?.1,
        key: b"",
    };
    if let Some(path) = parameters.get(Parameter::Signature) {
        let mut description = Line::new();
        target.push_key(&mut description, boot.setting(Key::VerityName));
        let description = keep_one(&description);
        keys::add(description, keep_one(path)).at(Step::Key)?;
        target.key = description.to_bytes();
    }
    Ok(target)
}

/// Bytes of a device.
fn size(node: &CStr) -> Result<u64, Problem> {
    let device = open(node, OFlags::RDONLY).at(Step::Open)?;
    let geometry = device.geometry().at(Step::Open);
    device.close();
    Ok(geometry?.1)
}

/// Reads the superblock, where there is one, and brings it together with what is pinned.
fn read_superblock(boot: &Boot, disk: File, offset: u64) -> Result<Superblock, Problem> {
    let parameters = &boot.options.parameters;
    let mut superblock = Superblock::DEFAULT;
    if !parameters.has_superblock() {
        superblock.pin(parameters);
        return Ok(superblock);
    }
    disk.read_exact_at(offset, &mut superblock.0)
        .at(Step::Superblock)?;
    let there = superblock;
    let differs = superblock.pin(parameters);
    if !there.is_good() {
        return Err(Step::Superblock.refused());
    }
    if let Some(field) = differs {
        let (mut has, mut wanted) = (Line::new(), Line::new());
        there.push(field, &mut has);
        superblock.push(field, &mut wanted);
        boot.journal.log.error(
            b"%: % in the superblock, % wanted",
            &[verity::field_name(field), &has, &wanted],
        );
        return Err(Step::Superblock.refused());
    }
    Ok(superblock)
}

/// What the device-mapper device is to be.
struct Mapping<'a> {
    control: File,
    name: &'static [u8],
    target: Target<'a>,
    request: Line,
}

impl Mapping<'_> {
    /// Creates the device, without a table, and returns its minor number.
    fn create(&mut self) -> Call<usize> {
        dm::start(&mut self.request, self.name, 0);
        self.target.push_uuid(&mut self.request, self.name);
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
    fn set_table(&mut self, armed: bool) -> Result<(), Problem> {
        let request = &mut self.request;
        dm::start(request, self.name, dm::READ_ONLY);
        dm::add_target(request, self.target.superblock.sectors());
        self.target.push_table(request, armed);
        send(self.control, Command::TableLoad, request).map_err(|error| {
            let step = if error.is(Errno::NOENT) {
                Step::Algorithm
            } else if error.is(Errno::NOKEY) || error.is(Errno::KEYREJECTED) {
                Step::Key
            } else if armed {
                Step::Arm
            } else {
                Step::Load
            };
            step.failed(error)
        })?;
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
    fn activate(&mut self, minor: usize, data: &CStr) -> Result<&'static CStr, Problem> {
        self.set_table(false)?;
        let device = keep_numbered(b"/dev/dm-%", minor);
        let block = self.target.superblock.data_block_size() as usize;
        let read = files::probe(device, block);
        self.send(Command::TableStatus).at(Step::Probe)?;
        let valid = dm::status(&self.request) == Some(b'V');
        if let Err(error) = read {
            // Valid all the same: it was not the hash that failed.
            return Err(if !valid {
                Step::Probe.failed(error)
            } else if files::probe(data, block).is_err() {
                Step::Data.failed(error)
            } else {
                Step::Tree.failed(error)
            });
        }
        if !valid {
            return Err(Step::Probe.refused());
        }
        if self.target.has_policy() {
            self.set_table(true)?;
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
