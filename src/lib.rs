//! The pure rooms of Toehold: every byte from the outside is read, and every decision taken, here.
//!
//! Nothing in this library touches the kernel, allocates, or uses `unsafe`; all of it is tested on the host.
//! The freestanding binary (`main.rs`) adds the system calls, and `xtask` reads the same formats from the other side.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod asked;
pub mod failure;
pub mod format;
pub mod request;
pub mod schedule;
pub mod spec;
pub mod table;
pub mod text;
