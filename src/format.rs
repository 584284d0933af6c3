//! Bytes from or for the outside, one file for each format.

pub mod crc32;
pub mod glob;
pub mod plan;
