//! The stages of the boot, one file each, in the order of [`toehold::failure::Stage`].

use crate::boot::Boot;
use crate::sys::call::Result as Call;

/// What a stage is: it does its part of the boot, or says why it cannot.
pub type Run = fn(&mut Boot) -> Call;

pub mod device;
pub mod kernel_fs;
pub mod modules;
pub mod stage2;
pub mod switch_root;
pub mod usr;
pub mod verity;
