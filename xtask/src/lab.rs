//! Kernels, disks and machines to boot, and what builds for them. This room may use the crate
//! `builder`, and no other room.

pub mod apt;
pub mod build;
pub mod busybox;
pub mod cache;
pub mod checkout;
pub mod console;
pub mod debian;
pub mod disk;
pub(crate) mod documents;
pub mod elf;
pub mod floor;
pub mod guest;
pub mod kernels;
pub mod microcode;
pub mod packs;
pub mod paths;
pub mod qemu;
pub mod runner;
pub mod spent;
pub mod systemd;
pub mod toolchain;
pub mod tools;
pub mod uki;
