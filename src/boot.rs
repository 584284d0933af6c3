//! The state of the boot: what the stages hand to each other, and what a report can tell after a failure.

use crate::journal::{Journal, Log};
use crate::stage::Run;
use crate::stage::device::{self, Search};
use crate::sys::call::Result as Call;
use crate::sys::files::{self, File};
use crate::sys::memory::keep_one;
use crate::sys::process::{self, Arguments};
use toehold::failure::{Error, Stage, Step};
use toehold::format::gpt::Table;
use toehold::format::plan::{Key, Plan};
use toehold::options::{Options, Word};
use toehold::schedule::Schedule;
use toehold::text::Line;

// In this order: what is used most has the shortest addresses.
#[repr(C)]
pub struct Boot {
    /// The stage that is being worked on.
    pub stage: Stage,
    /// What is being done: the step of a failure.
    pub step: Step,
    /// Something came of what is waited for, since the clock was last read.
    pub moved: bool,
    /// The init function of a module has crashed.
    pub crashed: bool,
    /// What is being worked on: the subject of a failure.
    pub subject: Option<&'static [u8]>,
    /// What we were started with.
    pub arguments: Arguments,
    /// Readable when a child has ended.
    pub children: File,
    /// The child that a person talks to, or 0, and the exit code of the last one.
    pub person: usize,
    pub left: usize,
    /// When it will have been too long that nothing happened, in microseconds.
    pub stall: u64,
    /// /dev/mapper/control.
    pub mapper: File,
    pub log: Log,
    pub search: Search,
    pub schedule: Schedule,
    pub journal: Journal,
    /// The partition table that was read last.
    pub table: Table,
    /// From the initrd: modules and settings.
    pub plan: Plan<'static>,
    /// From the kernel command line.
    pub options: Options,
    /// What device-mapper is asked, and its answer.
    pub request: Line,
}

impl Boot {
    /// Before [`Boot::start`]: nothing but zeros, which take no room in the file.
    pub const NONE: Self = Self {
        journal: Journal::NONE,
        log: Log::NONE,
        table: Table::NONE,
        plan: Plan::NONE,
        options: Options::none(),
        stage: Stage::KernelFs,
        step: Step::Mount,
        subject: None,
        search: Search::NONE,
        schedule: Schedule::none(),
        children: files::STDIN,
        moved: false,
        arguments: Arguments::NONE,
        person: 0,
        left: 0,
        crashed: false,
        stall: 0,
        mapper: files::STDIN,
        request: Line::new(),
    };

    /// What does not start at zero.
    pub fn start(&mut self, arguments: Arguments) {
        self.arguments = arguments;
        self.log.file = files::STDERR;
        self.journal.start();
        self.children = files::NONE;
        self.search.uevents.0 = files::NONE;
        self.schedule.slots = 1;
        self.moved = true;
    }

    /// Runs a stage, and logs its end.
    pub fn perform(&mut self, stage: Stage, run: Run) -> Call {
        device::check_alone(self)?;
        self.stop_before(stage);
        self.stage = stage;
        run(self)?;
        self.journal.done(&self.log, stage);
        Ok(())
    }

    /// Says no to what no call has refused.
    #[inline(always)]
    pub fn refuse<T>(&mut self, step: Step) -> Call<T> {
        self.step = step;
        Err(Error::REFUSED)
    }

    /// The program that the new root is started with.
    pub fn program(&self) -> &'static [u8] {
        match self.options.value(Word::Init) {
            [] => self.setting(Key::Init),
            told => told,
        }
    }

    /// What is being worked on.
    pub fn subject(&self) -> &'static [u8] {
        self.subject.unwrap_or_default()
    }

    /// A text setting of the plan.
    #[inline(never)] // Measured: smaller so.
    pub fn setting(&self, key: Key) -> &'static [u8] {
        self.plan.text(key)
    }

    /// Becomes stage 2, with the arguments and the environment of the init. Returns only if that fails.
    pub fn execute(&mut self) -> Error {
        let program = keep_one(self.program());
        self.subject = Some(program.to_bytes());
        self.leave_report(true);
        self.journal.hand_over(&self.log, program.to_bytes());
        process::forget_children();
        self.step = Step::Exec;
        self.arguments.execute(program)
    }
}
