//! The builder as the release archive has it: it finds profiles and inits beside itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    builder::exit_code(builder::commands::mkinitrd::run())
}
