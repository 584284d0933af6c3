//! Paths and words that the init and its builder share, each written once.
//!
//! Others stand with what they belong to: the words of the command line and the actions after a
//! failure, the keys of the plan, and the names of stages and steps.

use core::ffi::CStr;
use static_assertions::const_assert;

/// What the builder decided: see [`plan`](crate::format::plan).
pub use crate::format::plan::PATH as PLAN;

/// Modules in groups: see [`pack`](crate::format::pack).
pub const PACK: &CStr = c"/toehold.pack";

/// Holds the modules' files: a module's name, and behind it what the plan tells for all of them
/// ([`Key::Suffix`](crate::format::plan::Key::Suffix)).
pub const MODULES: &CStr = c"/lib/modules";
/// The file of a module there: `%` stands for its name and for what is behind it.
pub const MODULE_FILE: &[u8] = b"/lib/modules/%%";
/// The init by the name that the kernel asks for modules, unless its configuration has another
/// path. It takes any that ends so.
pub const MODPROBE: &CStr = c"/sbin/modprobe";

/// Where the stage-2 image is mounted, or what lies below the writable layer of the root.
pub const STAGE2_IMAGE: &CStr = c"/stage2/image";
/// Where the writable layer is mounted.
pub const STAGE2_WRITABLE: &CStr = c"/stage2/rw";
/// What an overlay has there: its upper layer, and where it prepares changes.
pub const STAGE2_UPPER: &CStr = c"/stage2/rw/upper";
pub const STAGE2_WORK: &CStr = c"/stage2/rw/work";
/// The overlay's layers, as mount(2) takes them.
pub const STAGE2_LAYERS: &CStr =
    c"lowerdir=/stage2/image,upperdir=/stage2/rw/upper,workdir=/stage2/rw/work";
/// Where the new root is put together.
pub const STAGE2_ROOT: &CStr = c"/stage2/root";
/// A file in it: `%` stands for its absolute path.
pub const STAGE2_ROOT_FILE: &[u8] = b"/stage2/root%";

/// What stands before each message in the kernel's log.
pub const LOG_PREFIX: &str = "toehold: ";

/// A path of this file as text.
pub const fn text(path: &'static CStr) -> &'static str {
    match path.to_str() {
        Ok(path) => path,
        Err(_) => panic!("a path that is no text"),
    }
}

const_assert!(begins(MODULE_FILE, MODULES));
const_assert!(begins(STAGE2_UPPER.to_bytes(), STAGE2_WRITABLE));
const_assert!(begins(STAGE2_WORK.to_bytes(), STAGE2_WRITABLE));
const_assert!(begins(STAGE2_ROOT_FILE, STAGE2_ROOT));

/// Whether a path begins with another one.
const fn begins(path: &[u8], other: &CStr) -> bool {
    let (other, mut byte) = (other.to_bytes(), 0);
    while byte < other.len() {
        if byte >= path.len() || path[byte] != other[byte] {
            return false;
        }
        byte += 1;
    }
    true
}

/// A path of this file as archives have it, relative to the root.
pub const fn inside(path: &'static CStr) -> &'static str {
    text(path).split_at(1).1
}
