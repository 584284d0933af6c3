//! What is in an initrd, for people. This room may use `initrd` and what that uses.

pub mod coverage;
pub mod plan;
