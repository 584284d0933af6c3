//! What is in an initrd, for people and tools. This room may use `initrd` and what that uses.

pub mod contents;
pub mod coverage;
pub mod extract;
pub mod plan;
