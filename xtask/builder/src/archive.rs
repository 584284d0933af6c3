//! Formats of files. This room knows no modules and no profile, and uses no other.

use std::{fs, path::Path};

use anyhow::{Context, Result};

pub mod compress;
pub mod cpio;
pub mod list;
pub mod lzop;
pub mod microcode;
pub mod pieces;
pub mod similar;
pub mod stream;

/// Reads a file, or says which could not be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
