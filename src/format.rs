//! Bytes from or for the outside, one file for each format.

pub mod cmdline;
pub mod crc32;
pub mod dm;
pub mod filesystem;
pub mod glob;
pub mod gpt;
pub mod mount_options;
pub mod pack;
pub mod plan;
pub mod trace;
pub mod uevent;
pub mod verity;

use crate::text::{Line, push, push_hex};

/// Something that can be read at a byte offset: a disk, an image, or a test's slice.
///
/// `read_at` fills the whole buffer or fails. A failed read is never told apart from the end of the
/// device: both mean that what was looked for is not there to be read.
pub trait ReadAt {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()>;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let from = usize::try_from(offset).ok()?;
        let source = self.get(from..)?.get(..buffer.len())?;
        buffer
            .iter_mut()
            .zip(source)
            .for_each(|(to, from)| *to = *from);
        Some(())
    }
}

/// In which order the sixteen bytes of a UUID stand in its text, with a `-` between groups.
pub(crate) const IN_ORDER: &[u8] =
    b"\0\x01\x02\x03-\x04\x05-\x06\x07-\x08\x09-\x0A\x0B\x0C\x0D\x0E\x0F";
/// The same for the GUIDs of a GPT, whose first three groups are little endian.
pub(crate) const GUID_ORDER: &[u8] =
    b"\x03\x02\x01\0-\x05\x04-\x07\x06-\x08\x09-\x0A\x0B\x0C\x0D\x0E\x0F";

/// Appends a UUID's bytes in this order, each as two hexadecimal digits.
pub(crate) fn push_uuid(text: &mut Line, uuid: &[u8], order: &[u8]) {
    for place in order {
        match uuid.get(usize::from(*place)) {
            Some(byte) => push_hex(text, &[*byte]),
            // The `-`: as a place it is beyond the end of every UUID.
            None => push(text, b"-"),
        }
    }
}

/// The number that these bytes are, the lowest first.
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    let number = bytes.iter().rev();
    number.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The little-endian u32 at `offset` of a structure. Offsets are constants inside it, so that after
/// inlining this is one load; zero is what an offset outside would give.
pub(crate) fn u32_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |raw| u32::from_le_bytes(*raw))
}

/// The little-endian u16 at `offset`, in the same way.
#[inline(always)] // size: inline
pub(crate) fn u16_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u16 {
    bytes
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |raw| u16::from_le_bytes(*raw))
}

/// The little-endian u64 at `offset`, in the same way.
#[inline(always)] // size: inline
pub(crate) fn u64_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |raw| u64::from_le_bytes(*raw))
}
