//! What the stages share: modules and devices, the event loop, and the state of the boot.
//! Uses `sys` and the library.

pub mod choice;
pub mod devices;
pub mod events;
pub mod filesystem;
pub mod identify;
pub mod journal;
pub mod look;
pub mod modprobe;
pub mod modules;
pub mod outcome;
pub mod pack;
pub mod plan;

use crate::sys::files::{self, File};
use crate::sys::log::Log;
use crate::sys::process::Arguments;
use choice::Choice;
use core::ffi::CStr;
use devices::Found;
use journal::Journal;
use toehold::format::gpt::Table;
use toehold::format::pack::modules::Tables;
use toehold::format::plan::Plan;
use toehold::request::Request;
use toehold::schedule::Schedule;

/// The state of the boot. Each part is handed to whoever needs only that; the whole to the stages
/// and to the event loop.
// In this order the addresses that are used most have much in common.
#[repr(C)]
pub struct Machine {
    /// There was progress since the event loop last looked at the clock: the boot does not stall.
    pub moved: bool,
    /// The init function of a module has crashed.
    pub crashed: bool,
    /// Messages about devices were lost: everything has to be looked at again.
    pub lost: bool,
    /// What we were started with.
    pub arguments: Arguments,
    /// Readable when a child has ended.
    pub children: File,
    /// Readable when a device has come or gone.
    pub uevents: File,
    /// The process that a person talks to, or 0, and the exit code of the last one.
    pub shell: usize,
    pub shell_code: usize,
    /// How many children look at block devices, but for those that are not waited for any more.
    pub looking: usize,
    /// The time in microseconds at which the boot counts as stalled, unless there is progress.
    pub stall: u64,
    /// For how many seconds it is waited for what is asked for now.
    pub patience: u64,
    pub log: Log,
    /// The devices that were found.
    pub found: Found,
    /// Which of several is used.
    pub choice: Choice,
    /// The node of the verity device, once it is verified.
    pub verified: Option<&'static CStr>,
    pub schedule: Schedule,
    pub journal: Journal,
    /// For what a child unpacks.
    pub tables: Tables,
    /// The partition table that a child has read.
    pub table: Table,
    /// From the initrd: modules and settings.
    pub plan: Plan<'static>,
    /// From the kernel command line and the plan: what is to be done.
    pub request: Request,
}

impl Machine {
    /// Before [`Machine::start`]: nothing but zeros, which take no room in the file.
    pub const NONE: Self = Self {
        moved: false,
        crashed: false,
        lost: false,
        arguments: Arguments::NONE,
        children: files::STDIN,
        uevents: files::STDIN,
        shell: 0,
        shell_code: 0,
        looking: 0,
        stall: 0,
        patience: 0,
        log: Log::NONE,
        found: Found::NONE,
        choice: Choice::NONE,
        verified: None,
        schedule: Schedule::none(),
        journal: Journal::NONE,
        tables: Tables::NONE,
        table: Table::NONE,
        plan: Plan::NONE,
        request: Request::NONE,
    };

    /// Sets what does not start as zero.
    pub fn start(&mut self, arguments: Arguments) {
        self.arguments = arguments;
        self.log.file = files::STDERR;
        self.journal.start();
        self.children = files::NONE;
        self.uevents = files::NONE;
        self.schedule.slots = 1;
        self.moved = true;
    }
}
