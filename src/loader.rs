//! The event loop: modules loaded by child processes, devices that come up, and the time that passes.

use crate::boot::Boot;
use crate::stage::device;
use crate::sys::call::Result as Call;
use crate::sys::files::{contents, each_entry, poll};
use crate::sys::memory::keep;
use crate::sys::{clock, modules, process};
use rustix::io::Errno;
use toehold::failure::{Error, Step};
use toehold::format::plan::Key;
use toehold::schedule::State;
use toehold::text::Line;

/// Microseconds without progress after which nothing that runs is waited for, and everything is looked at again.
const STALL: u64 = 5_000_000;

impl Boot {
    /// Takes in what has happened, and starts what can be started now.
    pub fn advance(&mut self) {
        if self.children.read(&mut Line::new()).is_ok() {
            while let Some((child, code)) = process::ended() {
                if let Some(index) = self.schedule.ended(child) {
                    self.settle(index, code.map_or(State::CRASHED, State::of_error));
                } else if child == self.person {
                    (self.person, self.left) = (0, code.unwrap_or(0));
                }
            }
        }
        device::drain(self);
        while let Some(module) = self.schedule.next(&self.plan) {
            match process::spawn(|| {
                let suffix = self.plan.text(Key::Suffix);
                let is_locked = self.plan.setting(Key::Locked).is_some();
                modules::load(module.name, suffix, module.options, is_locked, self.crashed)
                    .map_or_else(Error::number, |()| 0)
            }) {
                Ok(child) => self.schedule.started(module.number, child, clock::now()),
                Err(error) => self.settle(module.number, State::of_error(error.number())),
            }
        }
    }

    /// Waits for something to happen, until `deadline` at most.
    pub fn wait(&mut self, deadline: u64) -> Call {
        let now = clock::now();
        if self.moved {
            self.moved = false;
            self.stall = now + STALL;
        }
        if now >= deadline {
            return Err(Errno::TIMEDOUT.into());
        }
        if now < self.stall && !self.search.lost {
            poll(
                &[self.search.uevents.0, self.children],
                self.stall.min(deadline) - now,
            );
            return Ok(());
        }
        if now >= self.stall {
            while let Some(index) = self.schedule.give_up() {
                self.tell_of(&self.log, index);
            }
        }
        self.search.lost = false;
        self.moved = true;
        self.coldplug();
        Ok(())
    }

    /// Loads what the boot itself needs, by a module's name or by an alias, as the kernel would ask modprobe for it. What the
    /// plan does not have is built into the kernel, or will be missed by who asked.
    pub fn require(&mut self, name: &'static [u8]) -> Call {
        let subject = self.subject;
        let deadline = self.deadline();
        self.subject = Some(name);
        self.need(name);
        loop {
            self.advance();
            let (mut waiting, mut loaded, mut worst) = (false, false, State::UNASKED);
            self.plan
                .resolve(name, &mut |index| match self.schedule.state(index) {
                    State::LOADED => loaded = true,
                    state if state.is_settled() => worst = state,
                    _ => waiting = true,
                });
            if !waiting && (loaded || worst == State::UNASKED) {
                self.subject = subject;
                return Ok(());
            }
            if !waiting {
                self.step = Step::Module;
                return Err(Error::from_number(worst.error()));
            }
            self.step = Step::Wait;
            self.wait(deadline)?;
        }
    }

    /// Asks for a module that the boot itself needs; does not wait for it. Returns whether the plan has it.
    pub fn need(&mut self, name: &[u8]) -> bool {
        let mut known = false;
        self.plan.resolve(name, &mut |index| {
            known = true;
            self.schedule.ask(index, State::NEEDED);
        });
        known
    }

    /// Loads the module of a filesystem.
    pub fn require_filesystem(&mut self, name: &[u8]) -> Call {
        self.require(keep(b"fs-%", &[name]).to_bytes())
    }

    /// When to stop waiting for what is asked for now.
    pub fn deadline(&self) -> u64 {
        clock::now().saturating_add(self.options.timeout.saturating_mul(1_000_000))
    }

    /// Loads what is left to be loaded, drivers for people included: before any of them is asked something.
    pub fn finish(&mut self) {
        self.schedule.only_needed = false;
        let deadline = clock::now() + 2 * STALL;
        loop {
            self.advance();
            if !self.schedule.is_busy() || self.wait(deadline).is_err() {
                return;
            }
        }
    }

    /// Looks at everything that is there: block devices, and what asks for drivers through a `modalias` below /sys/bus or at the
    /// two places outside it.
    pub fn coldplug(&mut self) {
        device::scan(self);
        self.serve(b"/sys/devices/system/cpu/modalias", &[]);
        self.serve(b"/sys/class/dmi/id/modalias", &[]);
        each_entry(b"/sys/bus", &[], &mut |bus| {
            each_entry(b"/sys/bus/%/devices", &[bus], &mut |device| {
                self.serve(b"/sys/bus/%/devices/%/modalias", &[bus, device]);
            });
        });
    }

    /// Asks for what one modalias file asks for, and starts it.
    fn serve(&mut self, path: &[u8], parts: &[&[u8]]) {
        self.want(contents(&mut Line::new(), path, parts));
    }

    /// Asks for what hardware with this modalias needs, and starts it.
    pub fn want(&mut self, modalias: &[u8]) {
        let mut news = false;
        self.plan.lookup(modalias, &mut |index| {
            news |= self.schedule.state(index) != State::BARRED
                && self.schedule.ask(index, State::WANTED);
        });
        if news {
            self.advance();
        }
    }

    /// Writes down what became of a module.
    fn settle(&mut self, index: usize, state: State) {
        self.moved = true;
        self.crashed |= state == State::CRASHED;
        self.schedule.settle(index, state);
        // No such device: the driver looked for its hardware and found none.
        if state != State::LOADED && state.error() != Errno::NODEV.raw_os_error() as usize {
            self.tell_of(&self.log, index);
        }
    }
}
