//! System calls with checked results.

pub use super::arch::*;
use rustix::io::Errno;

pub type Result<T = ()> = core::result::Result<T, Errno>;

/// Parts the kernel's answer into a value and an error number (the last 4095 values).
#[inline(always)]
pub fn check(answer: usize) -> Result<usize> {
    let number = answer.wrapping_neg();
    if number.wrapping_sub(1) < 4095 {
        Err(Errno::from_raw_os_error(number as i32))
    } else {
        Ok(answer)
    }
}

/// For calls that return nothing but success.
#[inline(always)]
pub fn done(answer: usize) -> Result {
    check(answer).map(|_| ())
}
