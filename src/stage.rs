//! The stages of the boot, one file each, in the order of [`toehold::failure::Stage`]. Use
//! `machine`, `sys` and the library.

use crate::machine::Machine;
use crate::machine::outcome::Outcome;

/// What a stage is: it does its part of the boot, or says why it cannot.
pub type Run = fn(&mut Machine) -> Outcome;

pub mod device;
pub mod kernel_fs;
pub mod modules;
pub mod stage2;
pub mod switch_root;
pub mod usr;
pub mod verity;
