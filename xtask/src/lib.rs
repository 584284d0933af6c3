//! Builds Toehold's initrd, guards its size and boots it on real kernels.
//!
//! A room may use those that stand below it in this list, never one above:
//!
//! - `commands`: one file for each subcommand
//! - `release`: the archive that ships, with its papers
//! - `measure`: sizes, boots and their pictures, comparisons
//! - `lab`: kernels, disks and machines to boot, and what builds for them
//! - the crate `builder`: what ships as toehold-mkinitrd

// `println!` panics when its reader goes away; `commands::print` does not.
#![deny(clippy::print_stdout)]

pub mod commands;
pub mod lab;
pub mod measure;
pub mod release;

pub use builder::{Verdict, exit_code};
