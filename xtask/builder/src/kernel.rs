//! What a kernel offers and says of itself. This room may use `archive`.

pub mod catalogue;
pub mod classes;
pub mod config;
pub mod modinfo;
pub(crate) mod near;
pub mod search;
