//! Stage 2: kernel modules, those always needed and those that the hardware asks for.

use super::device::Search;
use crate::journal::Journal;
use crate::sys::files::{CWD, File, open, open_at, read_file};
use crate::sys::modules;
use core::ffi::CStr;
use rustix::io::Errno;
use toehold::failure::push_errno;
use toehold::format::glob::fold;
use toehold::format::plan::{ALWAYS, MAX_MODULES, Plan};
use toehold::text::{Text, push};

/// The plan's modules, and which of them were tried: none is ever loaded twice.
pub struct Modules {
    plan: Plan<'static>,
    tried: [u64; MAX_MODULES / 64],
}

impl Modules {
    pub fn new(plan: Plan<'static>) -> Self {
        Self {
            plan,
            tried: [0; MAX_MODULES / 64],
        }
    }

    /// Loads what has a matching alias. Returns whether anything was loaded.
    pub fn load_matching(&mut self, modalias: &[u8], journal: &Journal) -> bool {
        let plan = self.plan;
        let mut loaded = false;
        plan.lookup(modalias, |index| loaded |= self.load(index, journal));
        loaded
    }

    /// Loads a module by its name or by an alias, as the kernel would ask modprobe for it.
    pub fn request(&mut self, name: &[u8], journal: &Journal) {
        let plan = self.plan;
        for (index, module) in plan.modules().enumerate() {
            if module
                .name
                .iter()
                .map(|byte| fold(*byte))
                .eq(name.iter().map(|byte| fold(*byte)))
            {
                self.load(index, journal);
            }
        }
        self.load_matching(name, journal);
    }

    /// Loads a module after everything that it depends on. Returns whether it was this call that tried.
    fn load(&mut self, index: usize, journal: &Journal) -> bool {
        let Some(module) = self.plan.modules().nth(index) else {
            return false;
        };
        let Some(tried) = self.tried.get_mut(index / 64) else {
            return false;
        };
        let bit = 1 << (index % 64);
        if *tried & bit != 0 {
            return false;
        }
        *tried |= bit;
        // The plan was checked: a dependency has a smaller number, so this ends.
        for (dependency, _) in module.dependencies() {
            self.load(dependency, journal);
        }
        if let Err(errno) = insert(module.name, module.options) {
            let mut text = Text::new();
            push_errno(&mut text, errno);
            // No such device: the driver looked for its hardware and found none.
            if errno != Errno::EXIST && errno != Errno::NODEV {
                journal.warning(&[b"module ", module.name, b" not loaded: ", &text]);
            }
        }
        true
    }
}

fn insert(name: &[u8], options: &[u8]) -> Result<(), Errno> {
    let mut text = Text::new();
    push(&mut text, b"/lib/modules/");
    push(&mut text, name);
    push(&mut text, b".ko\0");
    let (path, parameters) = {
        let at = text.len();
        push(&mut text, options);
        push(&mut text, b"\0");
        text.split_at_checked(at).ok_or(Errno::NAMETOOLONG)?
    };
    let terminated = |text| CStr::from_bytes_until_nul(text).map_err(|_| Errno::NAMETOOLONG);
    modules::load(&open(terminated(path)?)?, terminated(parameters)?)
}

/// Modaliases outside /sys/bus.
const ELSEWHERE: [&CStr; 2] = [
    c"/sys/devices/system/cpu/modalias",
    c"/sys/class/dmi/id/modalias",
];

/// Loads modules until there is nothing left to load, or the device that the boot needs is there.
pub fn run(search: &mut Search) {
    for (index, module) in search.modules.plan.modules().enumerate() {
        if module.flags & ALWAYS != 0 {
            search.modules.load(index, search.journal);
        }
    }
    coldplug(search);
}

/// Loads what the devices that are present ask for, through every `modalias` below /sys/bus.
pub fn coldplug(search: &mut Search) {
    search.scan();
    for path in ELSEWHERE {
        serve(search, &CWD, path);
    }
    let Ok(buses) = open(c"/sys/bus") else { return };
    let _ = buses.entries(&mut |bus| {
        let Some(devices) = open_below(&buses, &[bus.to_bytes(), b"/devices\0"]) else {
            return;
        };
        let _ = devices.entries(&mut |device| {
            let mut path = Text::new();
            push(&mut path, device.to_bytes());
            push(&mut path, b"/modalias\0");
            if let Ok(path) = CStr::from_bytes_until_nul(&path) {
                serve(search, &devices, path);
            }
        });
    });
}

fn open_below(directory: &File, parts: &[&[u8]]) -> Option<File> {
    let mut path = Text::new();
    parts.iter().for_each(|part| push(&mut path, part));
    open_at(
        directory,
        CStr::from_bytes_until_nul(&path).ok()?,
        rustix::fs::OFlags::RDONLY,
    )
    .ok()
}

/// Loads what one modalias file asks for, and looks at what came of it.
fn serve(search: &mut Search, directory: &File, path: &CStr) {
    if search.is_over() {
        return;
    }
    let mut buffer = [0; 4096];
    if let Ok(modalias) = read_file(directory, path, &mut buffer)
        && search
            .modules
            .load_matching(modalias.trim_ascii_end(), search.journal)
    {
        search.drain();
    }
}
