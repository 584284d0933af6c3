//! The state of the boot: what the stages hand to each other, and what a report can tell after a failure.

use crate::journal::Journal;
use crate::stage::device::{self, Search};
use crate::stage::modules::Tried;
use crate::sys::clock;
use crate::sys::memory::keep_one;
use crate::sys::process::{self, Arguments};
use core::ffi::CStr;
use toehold::failure::{Problem, Stage, Step};
use toehold::format::plan::{Key, Plan};
use toehold::options::Options;
use toehold::text::{Line, push_number};

pub struct Boot {
    pub journal: Journal,
    /// From the initrd: modules and settings.
    pub plan: Plan<'static>,
    /// From the kernel command line.
    pub options: Options,
    /// The stage that is being worked on.
    pub stage: Stage,
    /// What it is working on: the subject of a failure.
    pub subject: &'static [u8],
    pub tried: Tried,
    pub search: Search,
    /// The block device to mount on /usr.
    pub source: &'static CStr,
}

impl Boot {
    pub fn new() -> Self {
        Self {
            journal: Journal::start(),
            plan: Plan::NONE,
            options: Options::default(),
            stage: Stage::KernelFs,
            subject: b"",
            tried: Tried::default(),
            search: Search::default(),
            source: c"",
        }
    }

    /// Runs a stage, and logs its end.
    #[inline(never)]
    pub fn perform(
        &mut self,
        stage: Stage,
        run: fn(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.stage = stage;
        run(self)?;
        self.journal.done(stage);
        Ok(())
    }

    /// A text setting of the plan.
    #[inline(never)]
    pub fn setting(&self, key: Key) -> &'static [u8] {
        self.plan.text(key)
    }

    /// Becomes stage 2, with the arguments and the environment of the init. Returns only if that fails.
    pub fn execute(&mut self, arguments: &Arguments) -> Problem {
        let program = keep_one(self.setting(Key::Init));
        self.subject = program.to_bytes();
        self.journal.hand_over(self.subject);
        Step::Exec.failed(arguments.execute(program))
    }

    /// Says what failed and what was seen, waits, and restarts the machine.
    pub fn give_up(&self, problem: Problem) -> ! {
        device::report(&self.journal);
        let (mut line, mut seconds) = (Line::new(), Line::new());
        problem.describe(self.stage, self.subject, &mut line);
        self.journal.error(&[&line]);
        if !problem.advice().is_empty() {
            self.journal.error(&[problem.advice()]);
        }
        let wait = self
            .plan
            .setting(Key::PromptSeconds)
            .and_then(<[u8]>::first_chunk);
        let wait = wait.map_or(60, |bytes| u32::from_le_bytes(*bytes)).into();
        push_number(&mut seconds, wait);
        self.journal.error(&[b"restarting in ", &seconds, b" s"]);
        clock::sleep(wait);
        process::restart();
        // A kernel that cannot restart: PID 1 must not end.
        loop {
            clock::sleep(wait);
        }
    }
}
