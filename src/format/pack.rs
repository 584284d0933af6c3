//! The module pack: modules in groups, each of which is unpacked on demand, at most once in a boot.
//!
//! One file, `/toehold.pack` in the initrd, in an archive of its own that is not compressed: the
//! kernel copies it, and unpacks none of it. All integers are little endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`], for those who look into it |
//! | 8 | 16 each | for each group: offset, bytes, what it takes to unpack it, CRC-32 (IEEE) |
//! | | | the groups |
//!
//! **A group** is some modules. The plan says which, and in which order. The file of each is taken
//! apart (see [`module`]) into *streams*: what is alike in all modules of the group stands
//! together, and packs better there than where it was. A group begins with what is known of each of
//! its [`STREAMS`], eight bytes: bytes packed (three), settings of [`lzma`] (one), bytes unpacked
//! (four). The packed streams follow, each raw LZMA without regard to the others.
//!
//! The checksum is over the packed bytes: they are a tenth of the others, and the same bytes are
//! unpacked to the same always. The builder sees that these are the right ones. So whoever unpacks
//! a group whose checksum is good need not look for what does not add up: it gives zeros, never
//! anything from outside the group, and the kernel refuses such a module.

pub mod lzma;
pub mod module;
pub mod modules;
pub mod types;

use super::crc32::crc32;
use super::u32_at;

/// The last byte is the version. The init does not look at it: it takes what is said in the plan,
/// whose version tells of both.
pub const MAGIC: [u8; 8] = *b"toepack\x01";
/// Bytes of what is known of a group.
pub const ENTRY: usize = 16;

/// How many streams a group has; [`module`] says what is in which.
pub const STREAMS: usize = module::END as usize;

/// Bytes of a group's room behind its streams and modules: a byte is read as the lowest of a word,
/// and whole words lie in the room only.
pub const BEHIND: usize = 3;

/// A group, packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group<'a> {
    pub packed: &'a [u8],
    /// Bytes that it takes to unpack it: its streams' and its modules', and [`BEHIND`]. All are
    /// zero before.
    pub room: usize,
}

/// The group with this number. `None`: it is not in the pack, or it is damaged.
pub fn group(pack: &[u8], number: usize) -> Option<Group<'_>> {
    let entry = pack.get(MAGIC.len() + number * ENTRY..)?;
    let entry: &[u8; ENTRY] = entry.first_chunk()?;
    let packed = pack.get(u32_at(entry, 0) as usize..)?;
    let packed = packed.get(..u32_at(entry, 4) as usize)?;
    (crc32(packed) == u32_at(entry, 12)).then_some(Group {
        packed,
        room: u32_at(entry, 8) as usize,
    })
}
