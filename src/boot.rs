//! The state of the boot: what the stages hand to each other, and what a report can tell after a failure.

use crate::journal::{Journal, Log};
use crate::stage::device::{self, Search};
use crate::stage::{Run, modules};
use crate::sys::call::Result as Call;
use crate::sys::clock;
use crate::sys::files::{self, File};
use crate::sys::memory::keep_one;
use crate::sys::process::{self, Arguments};
use toehold::failure::{Error, Stage, Step, describe};
use toehold::format::gpt::Table;
use toehold::format::plan::{Key, Plan};
use toehold::options::Options;
use toehold::schedule::Schedule;
use toehold::text::{Line, push_number};

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
    /// Readable when a child has ended.
    pub children: File,
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
        crashed: false,
        stall: 0,
        mapper: files::STDIN,
        request: Line::new(),
    };

    /// What does not start at zero.
    pub fn start(&mut self) {
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
    pub fn execute(&mut self, arguments: Arguments) -> Error {
        let program = keep_one(self.setting(Key::Init));
        self.subject = Some(program.to_bytes());
        self.leave_report();
        self.journal.hand_over(&self.log, program.to_bytes());
        process::forget_children();
        self.step = Step::Exec;
        arguments.execute(program)
    }

    /// Says what failed and what was seen, waits, and restarts the machine.
    pub fn give_up(&mut self, error: Error) -> ! {
        let (mut line, mut seconds) = (Line::new(), Line::new());
        let step = self.step;
        describe(step, error, self.subject(), &mut line);
        let failed = b"FAILED stage=% %";
        self.log.error(failed, &[self.stage.name(), &line]);
        // However early it was: a keyboard should work, and the report be complete.
        let _ = modules::run(self);
        self.finish();
        self.report(&self.log, false);
        if !step.advice().is_empty() {
            self.log.error(b"%", &[step.advice()]);
        }
        let wait = self.plan.number(Key::PromptSeconds).unwrap_or(60);
        push_number(&mut seconds, wait);
        self.log.error(b"restarting in % s", &[&seconds]);
        loop {
            clock::sleep(wait);
            // A kernel that cannot restart: PID 1 must not end.
            process::restart();
        }
    }
}
