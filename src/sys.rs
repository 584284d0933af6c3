//! Everything that touches the kernel. `unsafe` is allowed here and in the entry point, nowhere
//! else.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[path = "sys/x86_64.rs"]
mod arch;
#[cfg(target_arch = "aarch64")]
#[path = "sys/aarch64.rs"]
mod arch;

pub mod block;
pub mod call;
pub mod clock;
pub mod dm;
pub mod files;
pub mod kernel_log;
pub mod keys;
pub mod log;
pub mod loop_device;
pub mod memory;
pub mod modules;
pub mod mounts;
pub mod netlink;
mod panic;
pub mod partitions;
pub mod process;
pub mod terminal;
pub mod trace;
