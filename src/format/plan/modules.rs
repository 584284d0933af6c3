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
}

/// Splits a module off the front of some bytes. Returns it and the rest.
pub(super) fn module(bytes: &[u8]) -> Option<(Module<'_>, &[u8])> {
    let (flags, rest) = bytes.split_first()?;
    let (name, rest) = string(rest)?;
    let (options, rest) = string(rest)?;
    let (count, rest) = rest.split_first()?;
    let (dependencies, rest) = rest.split_at_checked(usize::from(*count) * 2)?;
    Some((
        Module {
            number: 0,
            flags: *flags,
            name,
            options,
            dependencies: dependencies.as_chunks().0,
        },
        rest,
    ))
}
