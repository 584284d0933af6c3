//! Stage 2: kernel modules, those always needed and those that the hardware asks for.

use super::Boot;
use super::device::Search;
use crate::sys::files::{CWD, File, open, open_at, read_file};
use crate::sys::memory::join;
use crate::sys::modules;
use core::ffi::CStr;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::failure::push_errno;
use toehold::format::glob::fold;
use toehold::format::plan::{ALWAYS, MAX_MODULES};
use toehold::text::Line;

/// Which modules were tried, by their numbers: none is ever loaded twice.
pub struct Tried([u64; MAX_MODULES / 64]);

impl Default for Tried {
    fn default() -> Self {
        Self([0; MAX_MODULES / 64])
    }
}

impl Tried {
    /// Whether it is the first time.
    fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.0.get_mut(index / 64).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }
}

impl Boot<'_> {
    /// Loads what has a matching alias. Returns whether anything was tried.
    pub fn load_matching(&mut self, modalias: &[u8]) -> bool {
        let plan = self.plan;
        let mut tried = false;
        plan.lookup(modalias, &mut |index| tried |= self.load(index));
        tried
    }

    /// Loads a module by its name or by an alias, as the kernel would ask modprobe for it.
    pub fn request(&mut self, name: &[u8]) {
        let same = |module: &[u8]| {
            module
                .iter()
                .map(|byte| fold(*byte))
                .eq(name.iter().map(|byte| fold(*byte)))
        };
        if let Some(index) = self.plan.modules().position(|module| same(module.name)) {
            self.load(index);
        }
        self.load_matching(name);
    }

    /// Loads a module after everything that it depends on. Returns whether it was this call that tried.
    fn load(&mut self, index: usize) -> bool {
        let Some(module) = self.plan.modules().nth(index) else {
            return false;
        };
        if !self.tried.insert(index) {
            return false;
        }
        // The plan was checked: a dependency has a smaller number, so this ends.
        for (dependency, _) in module.dependencies() {
            self.load(dependency);
        }
        match insert(module.name, module.options) {
            // No such device: the driver looked for its hardware and found none.
            Ok(()) | Err(Errno::EXIST | Errno::NODEV) => {}
            Err(errno) => {
                let mut text = Line::new();
                push_errno(&mut text, errno);
                self.journal
                    .warning(&[b"module ", module.name, b" not loaded: ", &text]);
            }
        }
        true
    }
}

fn insert(name: &[u8], options: &[u8]) -> Result<(), Errno> {
    let (mut path, mut parameters) = ([0; 256], [0; 256]);
    let file = open(join(&mut path, &[b"/lib/modules/", name, b".ko"]))?;
    let result = modules::load(file, join(&mut parameters, &[options]));
    file.close();
    result
}

/// Modaliases outside /sys/bus.
const ELSEWHERE: [&CStr; 2] = [
    c"/sys/devices/system/cpu/modalias",
    c"/sys/class/dmi/id/modalias",
];

/// Loads modules until there is nothing left to load, or the device that the boot needs is there.
pub fn run(boot: &mut Boot, search: &mut Search) {
    for (index, module) in boot.plan.modules().enumerate() {
        if module.flags & ALWAYS != 0 {
            boot.load(index);
        }
    }
    coldplug(boot, search);
}

/// Loads what the devices that are present ask for, through every `modalias` below /sys/bus.
pub fn coldplug(boot: &mut Boot, search: &mut Search) {
    search.scan(boot);
    for path in ELSEWHERE {
        serve(boot, search, CWD, path);
    }
    let Ok(buses) = open(c"/sys/bus") else { return };
    let mut path = [0; 256];
    let _ = buses.entries(&mut |bus| {
        let path = join(&mut path, &[bus.to_bytes(), b"/devices"]);
        let Ok(devices) = open_at(buses, path, OFlags::RDONLY) else {
            return;
        };
        let mut path = [0; 256];
        let _ = devices.entries(&mut |device| {
            serve(
                boot,
                search,
                devices,
                join(&mut path, &[device.to_bytes(), b"/modalias"]),
            );
        });
        devices.close();
    });
    buses.close();
}

/// Loads what one modalias file asks for, and looks at what came of it.
fn serve(boot: &mut Boot, search: &mut Search, directory: File, path: &CStr) {
    let mut buffer = [0; 3072];
    if !search.is_over()
        && let Ok(modalias) = read_file(directory, path, &mut buffer)
        && boot.load_matching(modalias.trim_ascii_end())
    {
        search.drain(boot);
    }
}
