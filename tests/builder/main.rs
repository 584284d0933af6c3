//! The builder on Debian's kernels and beside other programs, which its own package knows nothing of.

mod kernels;
mod list;
mod lookups;
mod microcode;
mod uki;
