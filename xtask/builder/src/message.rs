//! What is said on standard error besides progress: as clap says what is wrong with arguments, in the same colours, which `NO_COLOR`, a terminal
//! without them (`TERM=dumb`) and a pipe do not get.

use std::fmt::Display;

use anstream::eprintln;
use clap::builder::styling::{AnsiColor, Style};

fn say(color: AnsiColor, word: &str, text: &dyn Display) {
    let style = Style::new().bold().fg_color(Some(color.into()));
    eprintln!("{style}{word}:{style:#} {text}");
}

/// What is wrong, so that nothing was done or what was checked does not hold.
pub fn error(text: impl Display) {
    say(AnsiColor::Red, "error", &text);
}

/// What may be wrong.
pub fn warning(text: impl Display) {
    say(AnsiColor::Yellow, "warning", &text);
}
