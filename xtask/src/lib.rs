//! Builds Toehold's initrd, guards its size and boots it on real kernels.
//!
//! `commands/` has one file for each subcommand; the other modules are what they share.

pub mod commands;
pub mod initrd;
pub mod paths;
