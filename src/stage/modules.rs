//! Stage 2: kernel modules, those always needed and those that the hardware asks for.

use super::device;
use crate::boot::Boot;
use crate::sys::call::Result as Call;
use crate::sys::files::{contents, each_entry, open};
use crate::sys::memory::{join, keep, keep_one};
use crate::sys::modules;
use crate::sys::netlink::Uevents;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::{At, Problem, Step};
use toehold::format::plan::{ALWAYS, MAX_MODULES};
use toehold::text::Line;

/// Which modules were tried, by their numbers: none is ever loaded twice.
pub struct Tried {
    bits: [u64; MAX_MODULES / 64],
    count: usize,
}

impl Default for Tried {
    fn default() -> Self {
        Self {
            bits: [0; MAX_MODULES / 64],
            count: 0,
        }
    }
}

impl Tried {
    /// Whether it is the first time.
    fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        let Some(word) = self.bits.get_mut(index / 64) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(new);
        new
    }
}

/// Loads modules until there is nothing left to load, or the device that the boot needs is there.
pub fn run(boot: &mut Boot) -> Result<(), Problem> {
    // From now on nothing comes up unnoticed.
    boot.subject = b"uevents";
    boot.search.uevents = Uevents::listen().at(Step::Socket)?;
    for (index, module) in boot.plan.modules().enumerate() {
        if module.flags & ALWAYS != 0 {
            boot.load(index);
        }
    }
    boot.coldplug();
    Ok(())
}

impl Boot {
    /// Loads a module by its name or by an alias, as the kernel would ask modprobe for it.
    pub fn request(&mut self, name: &[u8]) {
        let mut modules = self.plan.modules();
        match modules.position(|module| module.name == name) {
            Some(index) => self.load(index),
            None => self.load_matching(name),
        }
    }

    /// Loads the module of a filesystem, and returns its name for mount(2).
    pub fn request_filesystem(&mut self, name: &[u8]) -> &'static CStr {
        let alias = keep(&[b"fs-", name]);
        self.request(alias.to_bytes());
        keep_one(name)
    }

    /// Loads what the devices that are present ask for, through every `modalias` below /sys/bus and the two places outside it.
    pub fn coldplug(&mut self) {
        device::scan(self);
        self.serve(&[b"/sys/devices/system/cpu/modalias"]);
        self.serve(&[b"/sys/class/dmi/id/modalias"]);
        each_entry(&[b"/sys/bus"], &mut |bus| {
            each_entry(&[b"/sys/bus/", bus, b"/devices"], &mut |device| {
                self.serve(&[b"/sys/bus/", bus, b"/devices/", device, b"/modalias"]);
            });
        });
    }

    /// Loads what one modalias file asks for, and looks at what came of it.
    fn serve(&mut self, path: &[&[u8]]) {
        if self.search.found.is_none() {
            let (mut buffer, before) = ([0; 3072], self.tried.count);
            self.load_matching(contents(path, &mut buffer).trim_ascii_end());
            if self.tried.count != before {
                device::drain(self);
            }
        }
    }

    /// Loads what has a matching alias.
    pub fn load_matching(&mut self, modalias: &[u8]) {
        let plan = self.plan;
        plan.lookup(modalias, &mut |index| self.load(index));
    }

    /// Loads a module after everything that it depends on.
    fn load(&mut self, index: usize) {
        if !self.tried.insert(index) {
            return;
        }
        let Some(module) = self.plan.modules().nth(index) else {
            return;
        };
        // The plan was checked: a dependency has a smaller number, so this ends.
        for (dependency, _) in module.dependencies() {
            self.load(dependency);
        }
        // No such device: the driver looked for its hardware and found none.
        if let Err(error) = insert(module.name, module.options)
            && !error.is(Errno::EXIST)
            && !error.is(Errno::NODEV)
        {
            let mut text = Line::new();
            error.push(&mut text);
            self.journal
                .error(&[b"module ", module.name, b" not loaded: ", &text]);
        }
    }
}

fn insert(name: &[u8], options: &[u8]) -> Call {
    let mut text = [0; 512];
    let file = open(
        join(&mut text, &[b"/lib/modules/", name, b".ko"]),
        OFlags::RDONLY,
    )?;
    let result = modules::load(file, join(&mut text, &[options]));
    file.close();
    result
}
