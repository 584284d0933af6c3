//! A module's file, and how it is taken apart.
//!
//! Modules are relocatable ELF files, and most of their bytes are tables: relocations, symbols,
//! types for BPF (BTF). A table packs well where each of its fields says only what the others do
//! not tell. So a file is told as *pieces*, one behind the other, and what is in a piece comes from
//! the streams for its kind. Each stream goes on from piece to piece, and from module to module.
//!
//! Words have four bytes; *numbers* are as in the plan. Where they can be negative they are
//! *folded*: 0, -1, 1, -2 are 0, 1, 2, 3.
//!
//! [`LAYOUT`] has a number for each file, how long it is, and then its pieces, until it is full: a
//! byte for what a piece is, and a number for how long it is. The byte is the number of a stream:
//!
//! - of [`LAYOUT`] for zeros.
//! - of [`HEADERS`], [`TEXT`], [`CODE`], [`DATA`] or [`UNWINDING`] for the next bytes of it.
//! - of [`TYPES`] for BTF.
//! - of [`FLAGS`] for the relocations of machine code that lies before them. A third number says
//!   where in the file the code begins.
//! - of [`NAMES`] for symbols. A third number says how long the table of their names is: it comes
//!   from [`TEXT`], and lies directly behind them.
//! - of the first stream of a class, from [`TABLES`] on, for a table of such relocations.
//!
//! So nothing has to be looked for in a file to put it together, and a piece need not be what it is
//! told as. A section's header has an offset and a size where a symbol has its value and its size:
//! the builder tells it as a symbol, so that the end of the section before tells the offset. It
//! takes a file apart, has it put together, and packs as it is, in one piece, whatever comes out
//! differently.
//!
//! **Relocations** (24 bytes: place, type, symbol, addend) are of a class, which has two streams
//! for numbers: symbols, and addends, each of which is told by its folded difference to the last
//! one of the same symbol. Those in a table have a third stream, before these two, for the
//! differences to the place before, each followed by the type.
//!
//! Of machine code neither is told. It has zeros where it is relocated, and the byte before tells
//! the type; on aarch64 they are an instruction's immediate value, and its highest byte tells the
//! type. Each place that [`is_free`] is looked at in order, and a byte in [`FLAGS`] says in which
//! bits its type, 0 if it is not relocated, is another than the type of the last place that has
//! the same such byte. Where a place is relocated that is not free, it is looked at as
//! well: numbers in [`RELOCATIONS`] tell these places plus one; 0: there is no other. The types of
//! aarch64 are told less 256. The type says of which class the symbol and the addend are.
//!
//! **Symbols** (24 bytes) have numbers in [`NAMES`], [`VALUES`] and [`SIZES`], and info, visibility
//! and section as they are, a word in [`INFO`]. The value is told by its folded difference to the
//! end of the last symbol in the same section, aligned to 16 for a function.
//!
//! **Names** follow each other in a table of strings. An odd number is the folded difference to the
//! end of the last name so far, shifted left by one; an even one the name's place itself, shifted
//! so, in a table that stands before the module's (the kernel's, for BTF), or zero.
//!
//! **BTF** has its header in [`HEADERS`] and behind that, in two words that are not in the file,
//! where the module's own types and strings begin. Its types follow the header, as many bytes as
//! that says, and are words in [`TYPES`]; the rest are strings, in [`TEXT`]. Words that refer to a
//! string are as told of names. Those that refer to a type are odd where it is one of the module's
//! own, and have the folded difference to the number of the type that they are in, shifted left by
//! one; even ones, shifted so, are the kernel's.
//!
//! What is not right, as where bytes were damaged, is put together to something else, within the
//! room of the group: a piece ends where its file ends, and a file where the room does.
//!
//! Source: elf(5); the kernel's Documentation/bpf/btf.rst.

/// What files consist of: lengths, and pieces. As a piece: zeros.
pub const LAYOUT: u32 = 0;
/// ELF headers, section headers, headers of BTF.
pub const HEADERS: u32 = 1;
/// Texts: names and messages.
pub const TEXT: u32 = 2;
/// Machine code.
pub const CODE: u32 = 3;
/// Everything else.
pub const DATA: u32 = 4;
/// The words of types. As a piece: BTF.
pub const TYPES: u32 = 5;
/// Where machine code is relocated. As a piece: its relocations.
pub const FLAGS: u32 = 6;
/// Of symbols. As a piece: symbols, and their names behind them.
pub const NAMES: u32 = 7;
/// Of symbols: info, visibility and section.
pub const INFO: u32 = 8;
/// Of symbols.
pub const VALUES: u32 = 9;
/// Of symbols.
pub const SIZES: u32 = 10;
/// Tables for unwinding the stack (ORC).
pub const UNWINDING: u32 = 11;
/// What of machine code is relocated elsewhere. Behind it: symbols and addends of four classes.
pub const RELOCATIONS: u32 = 12;
/// Behind the first stream of a class.
pub const SYMBOLS: u32 = 1;
/// Behind the first stream of a class.
pub const ADDENDS: u32 = 2;
/// The first stream of the first class of tables: places and types. As a piece: such relocations.
pub const TABLES: u32 = RELOCATIONS + 1 + 4 * 2;
/// Streams of a class of tables.
pub const CLASS: u32 = 3;
/// There are three of them.
pub const END: u32 = TABLES + 3 * CLASS;

/// Bytes of the ELF header, and of a section header.
pub const HEADER: u32 = 64;
/// Bytes of a relocation, and of a symbol.
pub const RECORD: u32 = 24;
/// Bytes of BTF's header.
pub const TYPES_HEADER: u32 = 24;
/// Addends are told by the last one of the same symbol, or of another one with the same remainder.
pub const ADDEND_SLOTS: usize = 4096;
/// Ends of symbols by the lowest byte of the section's number.
pub const END_SLOTS: usize = 256;

/// What the types of aarch64 are told less.
pub const ARM_TYPES: u32 = 256;
/// Of an ELF header from offset 16 on, the type (1, relocatable) and the machine's number, 183.
pub const ARM: u32 = 183 << 16 | 1;

/// Whether a place in machine code with this word is free for what a relocation puts there.
pub fn is_free(is_arm: bool, word: u32) -> bool {
    let mask = if is_arm { 0x3F_FC00 } else { !0 };
    word & mask == 0
}

/// The stream before those of a relocation of machine code, which are by its class: calls,
/// addresses, and so on. Its type tells.
pub fn code_class(kind: u32) -> u32 {
    RELOCATIONS + 2 * (kind >> 2 & 3)
}

/// 0, -1, 1, -2 of 0, 1, 2, 3.
pub fn unfold(folded: u32) -> u32 {
    folded >> 1 ^ (folded & 1).wrapping_neg()
}

/// The value that is expected of a symbol with this info, behind another that ends there.
pub fn expected_value(info: u32, end: u32) -> u32 {
    const FUNCTION: u32 = 2;
    match info & 15 {
        FUNCTION => aligned(end, 16),
        _ => end,
    }
}

/// The next multiple of a power of two; of 0, the place itself.
pub fn aligned(place: u32, align: u32) -> u32 {
    let mask = align.saturating_sub(1);
    place.wrapping_add(mask) & !mask
}

/// What a number stands for that refers to a name or a type, where this one is expected.
#[inline(always)] // size: inline
pub fn resolve(expected: u32, told: u32) -> u32 {
    let rest = told >> 1;
    match told & 1 {
        0 => rest,
        _ => expected.wrapping_add(unfold(rest)),
    }
}
