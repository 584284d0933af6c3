//! Stage 4: the verity device: made, proven on one block, and only then armed.

use crate::boot::Boot;
use crate::stage::device::{self, candidates, node};
use crate::sys::call::Result as Call;
use crate::sys::dm::send;
use crate::sys::files::{
    self, CWD, File, make_directory, open, poll, remove_at, symlink, write_file,
};
use crate::sys::keys;
use crate::sys::memory::{keep, keep_numbered};
use core::ffi::CStr;
use rustix::fs::{AtFlags, OFlags, minor};
use rustix::io::Errno;
use toehold::failure::{Error, Step, describe};
use toehold::format::dm::{self, Command};
use toehold::format::filesystem;
use toehold::format::plan::Key;
use toehold::format::uevent::{Key as Field, number};
use toehold::format::verity::Parameter;
use toehold::options::Role;
use toehold::text::{Line, fill};

const CONTROL: &CStr = c"/dev/mapper/control";

/// The version of the kernel's target since which it can act on I/O errors.
const ACTS_ON_ERRORS: u64 = 1 << 32 | 10;

pub fn run(boot: &mut Boot) -> Call {
    if boot.is_netboot() {
        return Ok(());
    }
    if boot.options.target.root_hash.is_none() {
        let device = boot.device();
        boot.log
            .error(b"% is used without verification", &[device.to_bytes()]);
        return Ok(());
    }
    boot.require(b"dm-verity")?;
    boot.step = Step::Control;
    boot.mapper = open(CONTROL, OFlags::RDWR)?;
    check_error_policy(boot);
    loop {
        // What was found may have gone in the meantime, and come back.
        device::run(boot)?;
        let answers = boot.search.answers;
        let Err(error) = try_all(boot) else {
            return Ok(());
        };
        // Another device may answer as soon as its driver is there.
        boot.finish();
        device::forget(boot);
        device::scan(boot);
        if boot.search.answers == answers && boot.lacks().is_none() {
            return Err(error);
        }
    }
}

/// Drops what is to be done about I/O errors where this kernel would refuse it.
fn check_error_policy(boot: &mut Boot) {
    let Some(policy) = boot.options.target.parameters.get(Parameter::OnError) else {
        return;
    };
    start(boot, 0);
    let _ = send(boot.mapper, Command::ListVersions, &mut boot.request);
    if dm::verity_version(&boot.request) < ACTS_ON_ERRORS {
        boot.options.target.parameters.remove(Parameter::OnError);
        let text = b"%: not in this kernel, left out";
        boot.log.error(text, &[policy]);
    }
}

/// Tries the devices that answer, one set after the other, until one is verified.
fn try_all(boot: &mut Boot) -> Call {
    if !boot.search.ambiguous {
        return try_one(boot);
    }
    let has_tree = !boot.options.spec(Role::Tree).text.is_empty();
    let loader = candidates::loader_disk(boot);
    boot.step = Step::Open;
    let (mut last, mut data_rank) = (Error::REFUSED, 0);
    while candidates::next(boot, Role::Data, loader, &mut data_rank) {
        let [data, ..] = &boot.options.target.devices;
        let disk = number(data, Field::DISKSEQ);
        candidates::next(boot, Role::Correction, disk, &mut 0);
        let mut tree_rank = 0;
        while candidates::next(boot, Role::Tree, disk, &mut tree_rank) || !has_tree {
            let Err(error) = try_one(boot) else {
                let why: &[u8] = if disk == loader {
                    b"boot loader's disk"
                } else {
                    b"first to verify"
                };
                let text = b"several devices answer: % taken (%)";
                boot.log.error(text, &[boot.subject(), why]);
                return Ok(());
            };
            let mut line = Line::new();
            describe(boot.step, error, boot.subject(), &mut line);
            boot.log.error(b"not taken: %", &[&line]);
            last = error;
            if !has_tree {
                break;
            }
        }
    }
    Err(last)
}

/// Makes the verity device of one set of devices.
fn try_one(boot: &mut Boot) -> Call {
    let [data, tree, ..] = &boot.options.target.devices;
    let separate = !tree.is_empty();
    let tree = node(if separate { tree } else { data });
    let data = node(data);
    boot.subject = Some(data.to_bytes());
    boot.step = Step::Open;
    let disk = open(tree, OFlags::RDONLY)?;
    let layout = lay_out(boot, disk, separate.then_some(data));
    disk.close();
    layout?;
    let result = activate(boot, data);
    if result.is_err() {
        // Nothing half made is left behind.
        let _ = request(boot, Command::Remove);
    }
    result
}

/// Finds out how data and tree lie: both on `disk`, or the tree on that and the data on `data`.
fn lay_out(boot: &mut Boot, disk: File, data: Option<&CStr>) -> Call {
    let mut room = None;
    if let Some(data) = data {
        let device = open(data, OFlags::RDONLY)?;
        room = Some(device.geometry().1);
        device.close();
    }
    let told = boot.options.target.parameters.number(Parameter::HashOffset);
    let fixed = told.or(room.map(|_| 0));
    if fixed.is_none() {
        // What cannot be read is not what holds no filesystem.
        let first = &mut boot.options.target.superblock;
        boot.step = Step::Data;
        disk.read_exact_at(0, first)?;
    }
    let mut result = boot.refuse(Step::Detect);
    if let Some(offset) = fixed.or_else(|| filesystem::size(&disk)) {
        result = read_superblock(boot, disk, offset);
    }
    if let Some(offset) = boot.plan.number(Key::HashOffsetFallback)
        && fixed.is_none()
        && result.is_err()
    {
        result = read_superblock(boot, disk, offset);
    }
    result?;
    let target = &mut boot.options.target;
    // What lies from the tree on is not data.
    let room = room.unwrap_or(target.hash_offset);
    if !target.measure(room) {
        return boot.refuse(Step::Superblock);
    }
    target.hash_device_size = disk.geometry().1;
    if let Some(path) = target.parameters.get(Parameter::Signature) {
        boot.step = Step::Key;
        let mut signature = Line::new();
        files::read(&mut signature, path, &[])?;
        keys::add(&signature)?;
        target.is_signed = true;
    }
    Ok(())
}

/// Reads the superblock, where there is one, and brings it together with what is pinned.
fn read_superblock(boot: &mut Boot, disk: File, offset: u64) -> Call {
    let target = &mut boot.options.target;
    target.hash_offset = offset;
    if !target.parameters.has_superblock() {
        return Ok(());
    }
    boot.step = Step::Superblock;
    disk.read_exact_at(offset, &mut target.superblock)?;
    let mut has = Line::new();
    if !target.is_superblock() {
        return Err(Error::REFUSED);
    }
    if let Some((field, wanted)) = target.contradiction(&mut has) {
        boot.log
            .error(b"%: % in the superblock, % wanted", &[field, &has, wanted]);
        return Err(Error::REFUSED);
    }
    Ok(())
}

/// Sends a request without a table; the answer is in [`Boot::request`]. Resume is one: Suspend, with no flag set.
#[inline(always)] // Measured: smaller so.
fn request(boot: &mut Boot, command: Command) -> Call {
    start(boot, 0);
    send(boot.mapper, command, &mut boot.request)
}

/// Takes down what an earlier attempt has left, as soon as the kernel has let go of what was on it.
pub fn remove(boot: &mut Boot) {
    let _ = remove_at(
        CWD,
        keep(b"/dev/mapper/%", &[boot.setting(Key::VerityName)]),
        AtFlags::empty(),
    );
    if let Ok(mapper) = open(CONTROL, OFlags::RDWR) {
        boot.mapper = mapper;
        for _ in 0..100 {
            match request(boot, Command::Remove) {
                Err(error) if error.is(Errno::BUSY) => poll(&[], 20_000),
                _ => return,
            }
        }
    }
}

/// Begins a request.
#[inline(never)] // Measured: smaller so.
fn start(boot: &mut Boot, flags: u32) {
    dm::start(&mut boot.request, boot.plan.text(Key::VerityName), flags);
}

/// Loads the table and makes it the live one.
fn set_table(boot: &mut Boot, armed: bool) -> Call {
    start(boot, dm::READ_ONLY);
    let (text, target) = (&mut boot.request, &boot.options.target);
    dm::add_target(text, target.sectors());
    target.push_table(text, armed);
    if let Err(error) = send(boot.mapper, Command::TableLoad, text) {
        boot.step = if error.is(Errno::NOENT) {
            Step::Algorithm
        } else if target.is_signed {
            Step::Key
        } else {
            Step::Load
        };
        return Err(error);
    }
    boot.step = Step::Resume;
    request(boot, Command::Suspend)
}

/// Proves one block without a policy, so that a wrong root hash is an error to be told and not a panic; then sets
/// the policy, and makes the device known.
fn activate(boot: &mut Boot, data: &CStr) -> Call {
    let name = boot.setting(Key::VerityName);
    start(boot, 0);
    boot.options.target.push_uuid(&mut boot.request, name);
    dm::end_header(&mut boot.request);
    boot.step = Step::Create;
    send(boot.mapper, Command::Create, &mut boot.request)?;
    let minor = minor(dm::device_number(&boot.request)) as usize;

    set_table(boot, false)?;
    let block = boot.options.target.number(Parameter::DataBlockSize) as usize;
    let read = files::probe(keep_numbered(b"/dev/dm-%", minor), block);
    boot.step = Step::Probe;
    request(boot, Command::TableStatus)?;
    let valid = dm::is_valid(&boot.request);
    if let Err(error) = read {
        if valid {
            boot.step = if files::probe(data, block).is_err() {
                // It was not the hash that failed.
                Step::Data
            } else {
                Step::Tree
            };
        }
        return Err(error);
    }
    if !valid {
        return Err(Error::REFUSED);
    }
    if boot.options.target.has_policy() {
        set_table(boot, true)?;
    }
    let [data, ..] = &mut boot.options.target.devices;
    data.clear();
    fill(data, b"DEVNAME=mapper/%", &[name]);
    // As udev itself would make it.
    boot.step = Step::Node;
    symlink(
        keep_numbered(b"../dm-%", minor),
        keep(b"/dev/mapper/%", &[name]),
    )?;
    tell_udev(name)
}

/// udev in stage 2 ignores device-mapper devices that it did not see made; with this rule it takes ours.
fn tell_udev(name: &[u8]) -> Call {
    make_directory(c"/run/udev")?;
    make_directory(c"/run/udev/rules.d")?;
    let rule = keep(
        b"ACTION!=\"remove\", KERNEL==\"dm-*\", ATTR{dm/name}==\"%\", \
ATTR{dm/uuid}==\"CRYPT-VERITY-*\", ENV{DM_UDEV_PRIMARY_SOURCE_FLAG}=\"1\", OPTIONS+=\"db_persist\"\n",
        &[name],
    );
    write_file(c"/run/udev/rules.d/09-toehold.rules", rule.to_bytes())
}
