//! The verity device in the hands of device-mapper: created, given a table, asked how it is,
//! removed.

use crate::machine::Machine;
use crate::sys::call::Result as Call;
use crate::sys::dm::send;
use crate::sys::files::{CWD, File, open, poll, remove_at};
use crate::sys::memory::intern_format;
use core::ffi::CStr;
use rustix::fs::{AtFlags, OFlags, minor};
use rustix::io::Errno;
use toehold::format::dm::{self, Command};
use toehold::format::plan::Key;
use toehold::format::verity::Layout;
use toehold::text::Line;

pub const CONTROL: &CStr = c"/dev/mapper/control";

/// Opens the way to device-mapper.
pub fn open_control() -> Call<File> {
    open(CONTROL, OFlags::RDWR)
}

pub struct Mapper {
    control: File,
    /// What the device is called.
    pub name: &'static [u8],
    /// What was asked last, and the answer to it.
    exchange: Line,
}

impl Mapper {
    /// Of the device with this name. `control` is [`open_control`]'s.
    pub fn new(control: File, name: &'static [u8]) -> Self {
        Self {
            control,
            name,
            exchange: Line::new(),
        }
    }

    /// Begins a request.
    fn start(&mut self, flags: u32) {
        dm::start(&mut self.exchange, self.name, flags);
    }

    fn send(&mut self, command: Command) -> Call {
        send(self.control, command, &mut self.exchange)
    }

    /// Sends a request without a table.
    pub fn request(&mut self, command: Command) -> Call {
        self.start(0);
        self.send(command)
    }

    /// The version of the kernel's verity target; 0 if it is not there.
    pub fn verity_version(&mut self) -> u64 {
        let _ = self.request(Command::ListVersions);
        dm::verity_version(&self.exchange)
    }

    /// Creates the device, and returns its minor number.
    pub fn create(&mut self, layout: &Layout) -> Call<usize> {
        self.start(0);
        layout.push_uuid(&mut self.exchange, self.name);
        dm::end_header(&mut self.exchange);
        self.send(Command::Create)?;
        Ok(minor(dm::device_number(&self.exchange)) as usize)
    }

    /// Loads the table of this layout on these devices. It becomes the live one when the device is
    /// resumed.
    pub fn load(&mut self, layout: &Layout, devices: &[Line; 3], armed: bool) -> Call {
        self.start(dm::READ_ONLY);
        dm::add_target(&mut self.exchange, layout.sectors());
        layout.push_table(devices, &mut self.exchange, armed);
        self.send(Command::TableLoad)
    }

    /// Whether nothing has failed verification so far.
    pub fn is_valid(&mut self) -> Call<bool> {
        self.request(Command::TableStatus)?;
        Ok(dm::is_valid(&self.exchange))
    }
}

/// Takes down what an earlier attempt has left, as soon as the kernel has let go of what was on it.
pub fn remove(machine: &Machine) {
    let name = machine.plan.text(Key::VerityName);
    let node = intern_format(b"/dev/mapper/%", &[name]);
    let _ = remove_at(CWD, node, AtFlags::empty());
    if let Ok(control) = open_control() {
        let mut mapper = Mapper::new(control, name);
        for _ in 0..100 {
            match mapper.request(Command::Remove) {
                Err(error) if error.is(Errno::BUSY) => poll(&[], 20_000),
                _ => return,
            }
        }
    }
}
