//! The builder on Debian's kernels and beside other programs, of which its package knows nothing.

mod foreign;
mod kernels;
mod list;
mod lookups;
mod microcode;
mod packs;
mod uki;
