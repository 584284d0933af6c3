//! System calls with checked results.

pub use super::arch::*;
use static_assertions::assert_eq_size;
use toehold::failure::Error;

pub type Result<T = ()> = core::result::Result<T, Error>;

// Success is zero, a failure is its number: one register.
assert_eq_size!(Result, usize);
