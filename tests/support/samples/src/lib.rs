//! Inputs for the parsers, which the suites `parsers`, `hostile` and `boot` and the fuzz targets share: structures laid out by hand, and targets
//! that are fed damaged ones.

pub mod filesystem;
pub mod layouts;
pub mod lzma;
pub mod noise;
pub mod pack;
pub mod plan;
pub mod tables;
pub mod target;
pub mod verity;
pub mod words;
