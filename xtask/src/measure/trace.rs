//! The lines of `rd.earlytrace`, read back: one system call each, by its grammar.
//!
//! ```text
//! line     = [ anything ] "toehold: " call                     what stands before is the kernel log's, or nothing in /run/toehold/trace
//! call     = "[" pid "] +" gap " " name "(" [ argument { ", " argument } ] ") = " result " " duration
//! argument = text | braces | number | names | "..."            the last is an address of what is not shown
//! text     = '"' { printable | "\x" hex hex } '"' [ "..." ]     neither `"` nor `\` stands for itself
//! braces   = "{" argument { ", " argument } "}"                what an argument points to
//! number   = [ "-" ] decimal
//! names    = name { "|" ( name | decimal ) }                   flags, requests, NULL, AT_FDCWD
//! result   = number | errno | "?"                              `-` and a number is an error without a name
//! ```
//!
//! Pid is a decimal number, gap and duration are microseconds. A [`Call`] is displayed as it was read.

mod parser;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use toehold::shared::LOG_PREFIX;

use crate::lab::console;

/// A system call that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// When the kernel took the line into its log, since its own start; `None` where the line does not tell.
    pub logged: Option<Duration>,
    pub pid: u32,
    /// From this process's last line to this one, microseconds. A new process begins with the `clone` that made it, and that counts from the
    /// line before in the process which it was made from; the first line of all counts from the kernel's start.
    pub gap: u64,
    pub name: &'a str,
    pub arguments: Vec<Argument<'a>>,
    pub result: Outcome<'a>,
    /// How long the call took, microseconds; with [`Outcome::NoReturn`] nothing to speak of.
    pub duration: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument<'a> {
    Number(i128),
    /// A path or data, and whether there was more of it.
    Text(Vec<u8>, bool),
    /// Flags, the name of a request, `NULL` or `AT_FDCWD`; as they are written.
    Names(&'a str),
    /// What the argument points to.
    Braces(Vec<Self>),
    /// The address of something that is not shown.
    Elsewhere,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<'a> {
    Value(u64),
    /// An error by its name.
    Errno(&'a str),
    /// An error that has no name in the trace, as errno(3) numbers it.
    Error(u64),
    /// The call does not return, or did not yet when this was written.
    NoReturn,
}

impl Call<'_> {
    /// The argument at `index`, if it is a text that is whole UTF-8: a path.
    pub fn path(&self, index: usize) -> Option<&str> {
        match self.arguments.get(index)? {
            Argument::Text(bytes, false) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The argument at `index`, if it is a number.
    pub fn number(&self, index: usize) -> Option<i128> {
        match self.arguments.get(index)? {
            Argument::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// `name(arguments) = result`
    pub fn text(&self) -> String {
        let whole = self.to_string();
        let text = whole
            .split_once("] +")
            .and_then(|(_, rest)| rest.split_once(' '));
        let text = text.and_then(|(_, call)| call.rsplit_once(' '));
        text.map_or_else(String::new, |(call, _)| call.to_owned())
    }

    /// What the call returned, if that is no error.
    pub fn value(&self) -> Option<u64> {
        match self.result {
            Outcome::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// Why a line is not what it should be, and at which column (counted in bytes, from 1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub column: usize,
    pub expected: &'static str,
}

impl Display for Error {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(
            formatter,
            "column {}: {} expected",
            self.column, self.expected
        )
    }
}

impl std::error::Error for Error {}

type Result<T> = std::result::Result<T, Error>;

/// Reads one line; `None` if it is something else than a traced call.
pub fn parse(line: &str) -> Option<Result<Call<'_>>> {
    let line = line.trim_end_matches(['\r', '\n']);
    let start = line.find(LOG_PREFIX)? + LOG_PREFIX.len();
    let text = line.get(start..)?;
    if !text.starts_with('[') {
        return None;
    }
    Some(parser::call(line, start).map(|call| Call {
        logged: console::message(line).map(|(time, _)| time),
        ..call
    }))
}

/// Reads all traced calls of a log or of /run/toehold/trace, each with its line number, counted from 1.
///
/// # Errors
/// The first line that is a traced call and does not parse.
pub fn parse_all(log: &str) -> anyhow::Result<Vec<(usize, Call<'_>)>> {
    let lines = log.lines().zip(1..);
    lines
        .filter_map(|(line, number)| Some((number, parse(line)?)))
        .map(|(number, call)| {
            let call = call.map_err(|error| anyhow::anyhow!("line {number}, {error}"))?;
            Ok((number, call))
        })
        .collect()
}

impl Display for Call<'_> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "[{}] +{} {}(", self.pid, self.gap, self.name)?;
        separated(formatter, &self.arguments)?;
        write!(formatter, ") = {} {}", self.result, self.duration)
    }
}

fn separated(formatter: &mut Formatter, arguments: &[Argument]) -> fmt::Result {
    for (place, argument) in arguments.iter().enumerate() {
        if place != 0 {
            formatter.write_str(", ")?;
        }
        write!(formatter, "{argument}")?;
    }
    Ok(())
}

impl Display for Argument<'_> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text, more) => push_quoted(formatter, text, *more),
            Self::Names(names) => formatter.write_str(names),
            Self::Braces(arguments) => {
                formatter.write_char('{')?;
                separated(formatter, arguments)?;
                formatter.write_char('}')
            }
            Self::Elsewhere => formatter.write_str("..."),
        }
    }
}

impl Display for Outcome<'_> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Value(value) => write!(formatter, "{value}"),
            Self::Errno(name) => formatter.write_str(name),
            Self::Error(number) => write!(formatter, "-{number}"),
            Self::NoReturn => formatter.write_char('?'),
        }
    }
}

fn push_quoted(formatter: &mut Formatter, text: &[u8], more: bool) -> fmt::Result {
    formatter.write_char('"')?;
    for byte in text {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => {
                formatter.write_char(char::from(*byte))?
            }
            _ => write!(formatter, "\\x{byte:02x}")?,
        }
    }
    formatter.write_str(if more { "\"..." } else { "\"" })
}
