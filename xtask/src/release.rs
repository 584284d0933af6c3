//! The archive that ships: the builder and the inits, with all that belongs to them. This room may
//! use `lab`.

pub mod archive;
pub mod deb;
pub mod dist;
mod licences;
pub mod links;
pub mod manual;
mod needs;
pub mod packages;
pub mod program;
mod sbom;

/// The version of this release.
const VERSION: &str = env!("CARGO_PKG_VERSION");
