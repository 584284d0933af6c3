//! Reads a traced call, from left to right.

use std::str::FromStr;

use super::{Argument, Call, Error, Outcome, Result};

/// The call that `line` holds from byte `at` on.
pub fn call(line: &str, at: usize) -> Result<Call<'_>> {
    Parser { line, at }.call()
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

    /// A number without a sign or leading zeros.
    fn decimal<N: FromStr>(&mut self, expected: &'static str) -> Result<N> {
        let start = self.at;
        let digits = self.take(expected, |next| next.is_ascii_digit())?;
        if (digits == "0" || !digits.starts_with('0'))
            && let Ok(number) = digits.parse()
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
                Ok(Argument::Number(-number))
            }
            Some('0'..='9') => {
                let number = self.decimal::<u64>("a number")?;
                Ok(Argument::Number(number.into()))
            }
            Some('.') => {
                self.expect("...")?;
                Ok(Argument::Elsewhere)
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
                    self.decimal::<u64>("a number")?;
                }
                _ => {
                    self.take("an argument", |next| {
                        next.is_ascii_alphanumeric() || next == '_'
                    })?;
                }
            }
            if !self.skips("|") {
                break;
            }
        }
        let names = self.line.get(start..self.at).unwrap_or_default();
        Ok(Argument::Names(names))
    }

    fn text(&mut self) -> Result<(Vec<u8>, bool)> {
        self.expect("\"")?;
        let mut text = Vec::new();
        loop {
            let rest = self.rest().as_bytes();
            let (byte, len) = match rest {
                [b'"', ..] => break,
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
        Ok(Outcome::Value(self.decimal("a result")?))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    toehold::text::hex_digit(byte).filter(|_| !byte.is_ascii_uppercase())
}
