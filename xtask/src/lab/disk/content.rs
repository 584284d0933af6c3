//! What lies in /usr: files enough for a tree of some depth, and bytes that no filesystem compresses.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Result;

use super::{BLOCK, MIB};

/// A file in /usr that nothing but stage 2 reads; each of its blocks begins with these bytes.
pub const BAIT: &[u8] = b"toehold bait";

/// A few hundred small files and some larger ones: what a directory of an operating system looks like. The bytes are
/// those of a fixed pseudo-random sequence, which no filesystem compresses.
pub fn fill(folder: &Path) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = |len: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .flatten()
        .take(len)
        .collect()
    };
    for number in 0..300 {
        let folder = folder.join(format!("small/{}", number % 10));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number:03}")), bytes(200 + number * 7))?;
    }
    for name in ["large-1", "large-2"] {
        fs::write(folder.join(name), bytes(MIB as usize))?;
    }
    let mut bait = bytes(256 << 10);
    for block in bait.chunks_mut(BLOCK as usize) {
        block[..BAIT.len()].copy_from_slice(BAIT);
    }
    fs::write(folder.join("bait"), bait)?;
    Ok(())
}

/// Copies `from` into `to` at `offset`, leaving holes where it has only zeros.
pub fn copy_sparse(from: &Path, to: &Path, offset: u64) -> Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::options().write(true).open(to)?;
    let mut buffer = vec![0; MIB as usize];
    let mut position = offset;
    loop {
        let len = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        if bytes.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(position))?;
            to.write_all(bytes)?;
        }
        position += len as u64;
    }
}
