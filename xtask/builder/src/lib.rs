//! From a kernel's modules and a profile to an initrd: all that ships as `toehold-mkinitrd`, without
//! network, compiler or emulator.
//!
//! A room may use those that stand below it in this list, never one above:
//!
//! - `commands`: the command lines
//! - `shipped`: where an installed builder finds profiles and inits
//! - `draft`: a profile drawn from a machine
//! - `look`: what is in an initrd, and what one has that another has not
//! - `uki`: kernel, command line and initrd as one image for UEFI
//! - `initrd`: everything gathered into one archive, with its manifest
//! - `plan`, `pack`: what the init reads
//! - `select`: which modules, why, and in which order
//! - `profile`: what is asked for
//! - `machine`: what a machine says of itself
//! - `kernel`: what there is: modules and what they say, the kernel's configuration
//! - `archive`: formats of files: cpio, compressors, microcode
//! - `arch`, `message`, `numbers` and `progress`: what all of them use

// `println!` panics when its reader goes away; `commands::print` does not.
#![deny(clippy::print_stdout)]

pub mod arch;
pub mod archive;
pub mod commands;
pub mod draft;
pub mod initrd;
pub mod kernel;
pub mod look;
pub mod machine;
pub mod message;
pub mod numbers;
pub mod pack;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod select;
pub mod shipped;
pub mod uki;

/// What a command found; each becomes an exit code (a command that could not run at all is an `Err`, exit code 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// Done, or what was checked holds: exit code 0.
    Pass,
    /// What was checked does not hold: exit code 1.
    Fail,
}

/// The exit code of a command; one that could not run says why.
pub fn exit_code(result: anyhow::Result<Verdict>) -> std::process::ExitCode {
    match result {
        Ok(Verdict::Pass) => 0.into(),
        Ok(Verdict::Fail) => 1.into(),
        Err(error) => {
            message::error(format_args!("{error:#}"));
            2.into()
        }
    }
}
