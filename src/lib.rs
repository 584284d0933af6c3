//! The pure rooms of Toehold: every byte from the outside is read, and every decision taken, here.
//! Uses nothing of the init.
//!
//! Nothing in this library touches the kernel, allocates, or uses `unsafe`; all of it is tested on
//! the host. The freestanding binary (`main.rs`) adds the system calls, and `xtask` reads the same
//! formats from the other side.
//!
//! # Rooms
//!
//! The binary's modules are rooms, one above the other: `sys`, `machine`, `stage`, `rescue`,
//! `main`. Each may use those before it and this library, never one behind it; tests/rooms reads
//! the imports. In this library [`format`] has what is read from the outside or written for it, and
//! the other modules decide: what was asked ([`asked`], [`request`]), which device that means
//! ([`spec`]), which module is loaded next ([`schedule`]).
//!
//! # Size
//!
//! What keeps the init small: neither `core::fmt` nor a panic (a reachable panic is a link error,
//! see src/sys/panic.rs); names in lists of words instead of tables of pointers (src/table.rs);
//! results that fit a register; one kind of text buffer; and a plan that the builder works out so
//! that the init need not. The arguments of the linker and what each saves are in linker/build.rs.
//!
//! *Refused*, although it would be smaller: writable code (the linker's `-N`); compressing the init
//! itself (the initrd is compressed anyway); interprocedural register allocation (300 bytes, but
//! LLVM cannot see what the assembly clobbers); code that turns its calls from absolute back to
//! relative when it starts (850 bytes as zstd, but it would have to be writable for a moment);
//! and dropping checks on bytes from the disk.
//!
//! The init is compiled for size (`opt-level = "z"`), and the compiler decides well what to inline,
//! but not always. Each attribute marked `// size: inline` overrules it because the init was
//! smaller so when it was measured. What each of them brings today is measured again by one
//! command, which builds the init once without each of them:
//!
//! ```sh
//! linker/inlining.sh             # ARCH=aarch64 linker/inlining.sh for the other architecture
//! ```

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod asked;
pub mod failure;
pub mod format;
pub mod request;
pub mod schedule;
pub mod shared;
pub mod spec;
pub mod table;
pub mod text;
