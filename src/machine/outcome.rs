//! How a stage ends: done, or with a failure that carries its step and its subject.

use crate::sys::call::Result as Call;
use crate::sys::memory::{intern_place, interned};
use static_assertions::assert_eq_size;
use toehold::failure::{Error, Failure, Step};
use toehold::text::Line;

/// What a system call returns has an error number only, and `?` does not take that for this: each
/// has to say by [`During::during`] what was being done. Who or what it was done to is said by
/// [`About::about`], once for all steps of a function in most cases.
pub type Outcome<T = ()> = Result<T, Failure>;

// Success is zero, a failure is its number: one register.
assert_eq_size!(Outcome, u64);

/// For the results of system calls.
pub trait During<T> {
    /// A failure is one of this step.
    fn during(self, step: Step) -> Outcome<T>;
}

impl<T> During<T> for Call<T> {
    #[inline(always)] // size: inline
    fn during(self, step: Step) -> Outcome<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::new(step, error)),
        }
    }
}

/// For everything that can fail in a step.
pub trait About<T> {
    /// A failure happened to `subject`, unless it has one of its own.
    fn about(self, subject: &[u8]) -> Outcome<T>;
}

impl<T> About<T> for Outcome<T> {
    #[inline(always)] // size: inline
    fn about(self, subject: &[u8]) -> Outcome<T> {
        match self {
            Ok(value) => Ok(value),
            Err(failure) => Err(about(failure, subject)),
        }
    }
}

/// The failure, with the subject unless it has one.
#[cold]
pub fn about(failure: Failure, subject: &[u8]) -> Failure {
    match failure.subject() {
        0 => failure.about(intern_place(subject)),
        _ => failure,
    }
}

/// The failure of a step that no system call has refused, but the init itself.
pub fn refused(step: Step) -> Failure {
    Failure::new(step, Error::REFUSED)
}

/// Appends `step=… errno=… subject=…`.
pub fn describe(failure: Failure, line: &mut Line) {
    failure.push(interned(failure.subject()).to_bytes(), line);
}
