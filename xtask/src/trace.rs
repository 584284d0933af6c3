//! The lines of `rd.earlytrace`, read back: one system call each, by its grammar.
//!
//! ```text
//! line     = [ anything ] "toehold: " call                     what stands before is the kernel log's, or nothing in /run/toehold/trace
//! call     = "[" pid "] +" gap " " name "(" [ argument { ", " argument } ] ") = " result " " duration
//! argument = text | braces | number | names [ " " text ]       the last is a device-mapper target with its table
//! text     = '"' { printable | "\\" | '\"' | "\x" hex hex } '"' [ "..." ]
//! braces   = "{" argument { ", " argument } "}"
//! number   = [ "-" ] decimal | "0x" hex
//! names    = name { "|" ( name | number ) }                    flags, requests, NULL, AT_FDCWD
//! result   = number | errno | "?"                              `-` and a number is an error without a name
//! ```
//!
//! Pid is a decimal number, gap and duration are microseconds. A [`Call`] is displayed as it was read.

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use crate::console;

/// What stands before each line.
const PREFIX: &str = "toehold: ";

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
    /// A number, and whether it is written in hexadecimal, as addresses are.
    Number(i128, Base),
    /// A path or data, and whether there was more of it.
    Text(Vec<u8>, bool),
    /// Flags, the name of a request, `NULL` or `AT_FDCWD`; as they are written.
    Names(&'a str),
    /// What the argument of an ioctl points to.
    Braces(Vec<Self>),
    /// A device-mapper target: its type, its table, and whether there was more of that.
    Target(&'a str, Vec<u8>, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    Decimal,
    Hexadecimal,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<'a> {
    Value(u64, Base),
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
            Argument::Number(number, _) => Some(*number),
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
            Outcome::Value(value, _) => Some(value),
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
    let start = line.find(PREFIX)? + PREFIX.len();
    let text = line.get(start..)?;
    if !text.starts_with('[') {
        return None;
    }
    let mut parser = Parser { line, at: start };
    Some(parser.call().map(|call| Call {
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

struct Parser<'a> {
    line: &'a str,
    /// How much of it was read, in bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T> {
        let column = self.at + 1;
        Err(Error { column, expected })
    }

    /// Goes on behind `text`, if that comes now.
    fn skips(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &'static str) -> Result<()> {
        if self.skips(text) {
            return Ok(());
        }
        self.fail(text)
    }

    /// What comes now, as long as it is `of` this kind; at least one character.
    fn take(&mut self, expected: &'static str, of: impl Fn(char) -> bool) -> Result<&'a str> {
        let rest = self.rest();
        let len = rest.find(|next| !of(next)).unwrap_or(rest.len());
        match rest.get(..len) {
            Some(taken) if len != 0 => {
                self.at += len;
                Ok(taken)
            }
            _ => self.fail(expected),
        }
    }

    /// A number without a sign; leading zeros only where `0x` calls for whole bytes.
    fn unsigned(&mut self, expected: &'static str) -> Result<(u64, Base)> {
        let start = self.at;
        let (base, radix) = match self.skips("0x") {
            true => (Base::Hexadecimal, 16),
            false => (Base::Decimal, 10),
        };
        let is_digit = |next: char| next.is_digit(radix) && !next.is_ascii_uppercase();
        let digits = self.take(expected, is_digit)?;
        let proper = match base {
            Base::Hexadecimal => digits.len() % 2 == 0,
            Base::Decimal => digits == "0" || !digits.starts_with('0'),
        };
        match u64::from_str_radix(digits, radix) {
            Ok(number) if proper => Ok((number, base)),
            _ => {
                self.at = start;
                self.fail(expected)
            }
        }
    }

    fn decimal<N: TryFrom<u64>>(&mut self, expected: &'static str) -> Result<N> {
        let start = self.at;
        if let (number, Base::Decimal) = self.unsigned(expected)?
            && let Ok(number) = N::try_from(number)
        {
            return Ok(number);
        }
        self.at = start;
        self.fail(expected)
    }

    fn call(&mut self) -> Result<Call<'a>> {
        self.expect("[")?;
        let pid = self.decimal("a process")?;
        self.expect("] +")?;
        let gap = self.decimal("microseconds")?;
        self.expect(" ")?;
        let name = self.take(
            "the name of a call",
            |next| matches!(next, 'a'..='z' | '0'..='9' | '_'),
        )?;
        self.expect("(")?;
        let arguments = self.list(")")?;
        self.expect(" = ")?;
        let result = self.outcome()?;
        self.expect(" ")?;
        let duration = self.decimal("microseconds")?;
        if !self.rest().is_empty() {
            return self.fail("the end of the line");
        }
        Ok(Call {
            logged: None,
            pid,
            gap,
            name,
            arguments,
            result,
            duration,
        })
    }

    /// Arguments up to what closes them.
    fn list(&mut self, close: &'static str) -> Result<Vec<Argument<'a>>> {
        let mut list = Vec::new();
        if self.skips(close) {
            return Ok(list);
        }
        loop {
            list.push(self.argument()?);
            if self.skips(close) {
                return Ok(list);
            }
            if !self.skips(", ") {
                return self.fail(match close {
                    ")" => "`, ` or `)`",
                    _ => "`, ` or `}`",
                });
            }
        }
    }

    fn argument(&mut self) -> Result<Argument<'a>> {
        match self.rest().chars().next() {
            Some('"') => {
                let (text, more) = self.text()?;
                Ok(Argument::Text(text, more))
            }
            Some('{') => {
                self.expect("{")?;
                Ok(Argument::Braces(self.list("}")?))
            }
            Some('-') => {
                self.expect("-")?;
                let number = i128::from(self.decimal::<u64>("a number")?);
                Ok(Argument::Number(-number, Base::Decimal))
            }
            Some('0'..='9') => {
                let (number, base) = self.unsigned("a number")?;
                Ok(Argument::Number(number.into(), base))
            }
            _ => self.names(),
        }
    }

    fn names(&mut self) -> Result<Argument<'a>> {
        let start = self.at;
        loop {
            match self.rest().chars().next() {
                // What is left of the flags when all names are taken.
                Some('0'..='9') if self.at != start => {
                    self.unsigned("a number")?;
                }
                _ => {
                    self.take("an argument", |next| {
                        next.is_ascii_alphanumeric() || matches!(next, '_' | '-')
                    })?;
                }
            }
            if !self.skips("|") {
                break;
            }
        }
        let names = self.line.get(start..self.at).unwrap_or_default();
        if !self.skips(" ") {
            return Ok(Argument::Names(names));
        }
        let (table, more) = self.text()?;
        Ok(Argument::Target(names, table, more))
    }

    fn text(&mut self) -> Result<(Vec<u8>, bool)> {
        self.expect("\"")?;
        let mut text = Vec::new();
        loop {
            let rest = self.rest().as_bytes();
            let (byte, len) = match rest {
                [b'"', ..] => break,
                [b'\\', byte @ (b'"' | b'\\'), ..] => (*byte, 2),
                [b'\\', b'x', high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 4),
                    _ => return self.fail("`\\x` and two hexadecimal digits"),
                },
                [byte @ (b' '..=b'[' | b']'..=b'~'), ..] => (*byte, 1),
                [b'\\', ..] => return self.fail("an escape"),
                [] => return self.fail("the closing quote"),
                _ => return self.fail("a printable character"),
            };
            text.push(byte);
            self.at += len;
        }
        self.expect("\"")?;
        Ok((text, self.skips("...")))
    }

    fn outcome(&mut self) -> Result<Outcome<'a>> {
        if self.skips("?") {
            return Ok(Outcome::NoReturn);
        }
        if self.skips("-") {
            return Ok(Outcome::Error(self.decimal("an error's number")?));
        }
        if self.rest().starts_with('E') {
            let is_name = |next: char| next.is_ascii_uppercase() || next.is_ascii_digit();
            return Ok(Outcome::Errno(self.take("an error's name", is_name)?));
        }
        let (value, base) = self.unsigned("a result")?;
        Ok(Outcome::Value(value, base))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    toehold::text::hex_digit(byte).filter(|_| !byte.is_ascii_uppercase())
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
            Self::Number(number, Base::Decimal) => write!(formatter, "{number}"),
            Self::Number(number, Base::Hexadecimal) => push_hex(formatter, *number as u64),
            Self::Text(text, more) => push_quoted(formatter, text, *more),
            Self::Names(names) => formatter.write_str(names),
            Self::Braces(arguments) => {
                formatter.write_char('{')?;
                separated(formatter, arguments)?;
                formatter.write_char('}')
            }
            Self::Target(name, table, more) => {
                write!(formatter, "{name} ")?;
                push_quoted(formatter, table, *more)
            }
        }
    }
}

impl Display for Outcome<'_> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Value(value, Base::Decimal) => write!(formatter, "{value}"),
            Self::Value(value, Base::Hexadecimal) => push_hex(formatter, *value),
            Self::Errno(name) => formatter.write_str(name),
            Self::Error(number) => write!(formatter, "-{number}"),
            Self::NoReturn => formatter.write_char('?'),
        }
    }
}

/// Whole bytes, two digits each.
fn push_hex(formatter: &mut Formatter, number: u64) -> fmt::Result {
    let bytes = (64 - number.leading_zeros()).div_ceil(8).max(1) as usize;
    write!(formatter, "0x{number:0width$x}", width = bytes * 2)
}

fn push_quoted(formatter: &mut Formatter, text: &[u8], more: bool) -> fmt::Result {
    formatter.write_char('"')?;
    for byte in text {
        match byte {
            b'"' | b'\\' => write!(formatter, "\\{}", char::from(*byte))?,
            b' '..=b'~' => formatter.write_char(char::from(*byte))?,
            _ => write!(formatter, "\\x{byte:02x}")?,
        }
    }
    formatter.write_str(if more { "\"..." } else { "\"" })
}

#[cfg(test)]
mod tests;
