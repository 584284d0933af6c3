//! The stages of the boot, one file each, in the order of [`toehold::failure::Stage`]. Use
//! `machine`, `sys` and the library.

pub mod device;
pub mod kernel_fs;
pub mod modules;
pub mod stage2;
pub mod switch_root;
pub mod usr;
pub mod verity;
