//! Builds Toehold's initrd, guards its size and boots it on real kernels.
//!
//! `commands/` has one file for each subcommand; the other modules are what they share.

pub mod apt;
pub mod arch;
pub mod busybox;
pub mod cache;
pub mod chart;
pub mod commands;
pub mod console;
pub mod disk;
pub mod dist;
pub mod elf;
pub mod floor;
pub mod guest;
pub mod initrd;
pub mod kernels;
pub mod matcher;
pub mod modaliases;
pub mod paths;
pub mod progress;
pub mod qemu;
pub mod quiet;
mod readme;
pub mod results;
pub mod runner;
pub mod shipped;
pub mod size;
pub mod spent;
pub mod summary;
pub mod systemd;
pub mod toolchain;
pub mod tools;
pub mod trace;
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
            eprintln!("error: {error:#}");
            2.into()
        }
    }
}
