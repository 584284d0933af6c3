//! The module section of a plan, taken apart.

use super::{MAX_MODULES, SOFT, string};

/// One module of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module<'a> {
    /// Its place in the loading order.
    pub number: usize,
    pub flags: u8,
    pub name: &'a [u8],
    pub options: &'a [u8],
    pub(super) dependencies: &'a [[u8; 2]],
}

impl Module<'_> {
    /// Numbers of the modules that must be loaded before this one, and whether each is soft.
    pub fn dependencies(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.dependencies.iter().map(|raw| {
            let raw = u16::from_le_bytes(*raw);
            (usize::from(raw) % MAX_MODULES, raw & SOFT != 0)
        })
    }

    /// Whether it is in this group of the module pack.
    pub fn is_in(&self, group: usize) -> bool {
        self.dependencies().next() == Some((group, false))
    }
}

/// Splits the module with this number off the front of some bytes.
pub(super) fn module<'a>(bytes: &mut &'a [u8], number: usize) -> Option<Module<'a>> {
    let flags = *bytes.split_off_first()?;
    let (name, options) = (string(bytes)?, string(bytes)?);
    let count = usize::from(*bytes.split_off_first()?);
    let dependencies = bytes.split_off(..count * 2)?.as_chunks().0;
    Some(Module {
        number,
        flags,
        name,
        options,
        dependencies,
    })
}
