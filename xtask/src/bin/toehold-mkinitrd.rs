//! The builder as the release archive has it: it finds profiles and inits beside itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::exit_code(xtask::commands::mkinitrd::run())
}
