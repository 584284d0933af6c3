//! The alias section of a plan, taken apart.

use super::{number, string};

/// The aliases of one shape.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// A shell pattern with [`glob::DIGIT`] where keys have digits.
    pub shape: &'a [u8],
    pub(super) sets: &'a [u8],
}

impl<'a> Group<'a> {
    /// The aliases of this shape, by module.
    pub fn sets(&self) -> impl Iterator<Item = Set<'a>> + use<'a> {
        let (mut module, mut rest) = (0usize, self.sets);
        core::iter::from_fn(move || {
            module = module.wrapping_add(number(&mut rest)? as usize);
            let keys = string(&mut rest)?;
            Some(Set { module, keys })
        })
    }
}

/// The aliases of one shape and module.
#[derive(Clone, Copy)]
pub struct Set<'a> {
    /// The module's place in the loading order.
    pub module: usize,
    keys: &'a [u8],
}

impl<'a> Set<'a> {
    /// What to put in place of the shape's digits, ascending.
    pub fn keys(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (mut key, mut rest) = (0u64, self.keys);
        core::iter::from_fn(move || {
            key = key.wrapping_add(number(&mut rest)?);
            Some(key)
        })
    }
}
