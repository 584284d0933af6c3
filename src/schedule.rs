//! Which module to load next, and what became of each: the decisions, without the loading.
//!
//! A module is tried once at most: a second attempt at one whose init function crashed or hangs
//! would never come back.

use crate::failure::push_errno;
use crate::format::plan::{ATTEND, CONSOLE, MAX_MODULES, Module, Plan};
use crate::text::{Line, item, push, split};

/// What is known of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State(u8);

impl State {
    /// Nothing asked for it.
    pub const UNASKED: Self = Self(0);
    /// Hardware is not to ask for it; what depends on it, and the boot itself, can.
    pub const BARRED: Self = Self(1);
    /// Hardware asks for it; not started yet.
    pub const WANTED: Self = Self(2);
    /// The boot itself asks for it; not started yet.
    pub const NEEDED: Self = Self(3);
    /// Its init function runs.
    pub const LOADING: Self = Self(4);
    /// Its init function has been running for so long that nothing waits for it any more.
    pub const SLOW: Self = Self(5);
    pub const LOADED: Self = Self(6);
    /// The kernel killed the process that loaded it: its init function has crashed.
    pub const CRASHED: Self = Self(7);
    /// Something that it depends on could not be loaded.
    pub const BLOCKED: Self = Self(8);
    /// It is not in the initrd; the plan only knows its name.
    pub const ABSENT: Self = Self(9);
    const ERRORS: u8 = 10;

    /// Refused with this error number, or, with 0, loaded.
    pub fn of_error(number: usize) -> Self {
        match number {
            0 => Self::LOADED,
            _ => Self(Self::ERRORS.wrapping_add(number as u8)),
        }
    }

    /// The error that it was refused with; 0: none.
    pub fn error(self) -> usize {
        self.0.saturating_sub(Self::ERRORS).into()
    }

    /// Whether its state is final.
    pub fn is_settled(self) -> bool {
        self.0 >= Self::LOADED.0
    }

    /// Appends the state in words for people.
    pub fn push(self, line: &mut Line) {
        const NAMES: &[u8] = b",modprobe.blacklist has it,waiting,waiting,loading,\
takes long: not waited for,loaded,its init function crashed,\
needs one that failed,not in this initrd";
        if self.0 < Self::ERRORS {
            push(line, item(NAMES, b',', self.0.into()));
        } else {
            push_errno(line, self.error());
        }
    }
}

/// How many seconds a module may take before it is not waited for any more.
pub const PATIENCE: u64 = 5;

/// What is known of a module. The lowest byte is its [`State`], the next three are the number of
/// the process that loads it, and the upper four say in which second that was started.
type Entry = u64;

#[repr(C)]
pub struct Schedule {
    /// How many are [`State::LOADING`].
    loading: usize,
    /// How many may be.
    pub slots: usize,
    /// What hardware asks for is not started any more.
    pub only_needed: bool,
    /// Only [`ATTEND`] is started.
    pub only_attend: bool,
    entries: [Entry; MAX_MODULES],
}

impl Schedule {
    /// Nothing is asked for, and nothing can be loaded before there are slots.
    pub const fn none() -> Self {
        Self {
            entries: [0; MAX_MODULES],
            loading: 0,
            slots: 0,
            only_needed: false,
            only_attend: false,
        }
    }

    pub fn state(&self, module: usize) -> State {
        State(self.entries.get(module).copied().unwrap_or_default() as u8)
    }

    /// Says what became of a module.
    pub fn settle(&mut self, module: usize, state: State) {
        if let Some(entry) = self.entries.get_mut(module) {
            if *entry as u8 == State::LOADING.0 {
                self.loading -= 1;
            }
            if state == State::LOADING {
                self.loading += 1;
            }
            *entry = *entry & !0xFF | Entry::from(state.0);
        }
    }

    /// Asks for a module, [`State::WANTED`] by hardware or [`State::NEEDED`] by the boot, or has it
    /// [`State::BARRED`]. Returns whether that changes its state.
    pub fn ask(&mut self, module: usize, demand: State) -> bool {
        let news = self.state(module).0 < demand.0;
        if news {
            self.settle(module, demand);
        }
        news
    }

    /// Has hardware not ask for the modules of a comma-separated list, by names as modprobe takes
    /// them.
    #[inline(always)] // size: inline
    pub fn bar(&mut self, plan: &Plan, list: &[u8]) {
        for name in split(list, b',') {
            plan.resolve(name, &mut |module| {
                self.ask(module, State::BARRED);
            });
        }
    }

    /// Whether any module is being loaded, slow ones aside.
    pub fn is_busy(&self) -> bool {
        self.loading != 0
    }

    /// The module to load now, if there is one and a slot for it: it is [`State::LOADING`] from
    /// here on. [`Schedule::started`] or [`Schedule::settle`] has to follow.
    pub fn next<'a>(&mut self, plan: &Plan<'a>) -> Option<Module<'a>> {
        if self.loading >= self.slots {
            return None;
        }
        let mut for_people = false;
        loop {
            let mut again = false;
            for module in plan.modules() {
                let index = module.number;
                let demand = self.state(index);
                let hardware = demand == State::WANTED
                    && !self.only_needed
                    && (for_people || module.flags & CONSOLE == 0);
                if !hardware && demand != State::NEEDED
                    || self.only_attend && module.flags & ATTEND == 0
                {
                    continue;
                }
                let mut state = State::LOADING;
                for (dependency, soft) in module.dependencies() {
                    let there = self.state(dependency);
                    if soft && there == State::SLOW {
                        continue;
                    }
                    if !there.is_settled() {
                        // It stands before this module in the plan, where this pass has been
                        // already: another pass starts it.
                        again |= self.ask(dependency, demand);
                        state = demand;
                    } else if !soft && there != State::LOADED {
                        state = State::BLOCKED;
                        break;
                    }
                }
                self.settle(index, state);
                if state == State::LOADING {
                    return Some(module);
                }
            }
            // Drivers that only serve people at the console wait until nothing else is being
            // loaded, and nothing else can be.
            if !again {
                if for_people || self.is_busy() {
                    return None;
                }
                for_people = true;
            }
        }
    }

    /// The module is being loaded by this process, since that time in microseconds.
    pub fn started(&mut self, module: usize, process: usize, now: u64) {
        if let Some(entry) = self.entries.get_mut(module) {
            *entry |= (process as Entry) << 8 | (now / 1_000_000) << 32;
        }
    }

    /// The module of a process that ended; `None` if it was no loader.
    pub fn ended(&mut self, process: usize) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|entry| {
            *entry as u32 >> 8 == process as u32 && !State(*entry as u8).is_settled()
        })
    }

    /// For how many seconds a module is being loaded at a time in microseconds.
    pub fn age(&self, module: usize, now: u64) -> u64 {
        let entry = self.entries.get(module).copied().unwrap_or_default();
        (now / 1_000_000).saturating_sub(entry >> 32)
    }

    /// Gives up waiting for a module that is being loaded for [`PATIENCE`] at a time in
    /// microseconds: it is [`State::SLOW`] from then on, and another one gets its slot. Returns
    /// which one; `None` when there is none.
    pub fn give_up(&mut self, now: u64) -> Option<usize> {
        let mut entries = self.entries.iter();
        let module = entries.position(|entry| {
            *entry as u8 == State::LOADING.0 && (*entry >> 32) + PATIENCE <= now / 1_000_000
        })?;
        self.settle(module, State::SLOW);
        Some(module)
    }
}

#[cfg(test)]
mod tests;
