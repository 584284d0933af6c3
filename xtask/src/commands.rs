//! The subcommands, one file each: `Args` for clap, and `run`.

pub mod bench;
pub mod boot;
pub mod build;
pub mod image;
pub mod initrd;
pub mod plan;
pub mod size;
