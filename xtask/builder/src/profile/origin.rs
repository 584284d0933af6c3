//! Where a profile comes from, and which of its lines an error is about.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Error, anyhow};
use toml::de::{DeTable, DeValue};

use crate::kernel::near;

/// A profile's file and its text; neither, of one that was never a file.
#[derive(Default)]
pub struct Origin {
    file: PathBuf,
    text: String,
}

/// Profiles with the same settings look the same.
impl fmt::Debug for Origin {
    fn fmt(&self, into: &mut fmt::Formatter) -> fmt::Result {
        into.write_str("Origin")
    }
}

impl Origin {
    pub fn new(file: &Path, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The error with the file that it is about, and its line if it names a key.
    pub fn place(&self, error: Error) -> Error {
        let file = self.file.display();
        if self.file.as_os_str().is_empty() {
            return error;
        }
        match line(&self.text, &format!("{error:#}")) {
            Some(line) => error.context(format!("line {line}")),
            None => error,
        }
        .context(format!("profile {file}"))
    }
}

/// The line of the key that a message begins with (`modules.names: …`) or, if that is a list or a table, of the item of it that the message
/// names.
fn line(text: &str, message: &str) -> Option<usize> {
    let end =
        message.find(|letter: char| !letter.is_alphanumeric() && !['.', '_'].contains(&letter));
    let (table, key) = message[..end?].split_once('.')?;
    let document = DeTable::parse(text).ok()?;
    let table = document.get_ref().get(table)?.get_ref().as_table()?;
    let (name, value) = table.get_key_value(key)?;
    let item = match value.get_ref() {
        DeValue::Array(items) => {
            let is_named = |item: &str| message.contains(&format!("\"{item}\""));
            let mut items = items.iter();
            let item = items.find(|item| item.get_ref().as_str().is_some_and(is_named));
            item.map(|item| item.span())
        }
        DeValue::Table(items) => {
            let mut keys = items.keys();
            let key = keys.find(|key| message.contains(&**key.get_ref()));
            key.map(|key| key.span())
        }
        _ => None,
    };
    let at = item.unwrap_or_else(|| name.span()).start;
    Some(text.get(..at)?.matches('\n').count() + 1)
}

/// What is wrong with a text in TOML: place and reason, and the nearest of the names that could stand there.
pub fn explained(error: &toml::de::Error) -> Error {
    let text = error.to_string();
    let text = text.trim_end();
    let mut names = text.split('`').skip(1).step_by(2);
    let hint = match names.next() {
        Some(unknown) if text.contains("unknown ") => near::hint(unknown, names),
        _ => String::new(),
    };
    anyhow!("{text}{hint}")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn of_keys_and_items() {
        let text = "mode = \"usr\"\n[modules]\nnames = [\n    \"a\",\n    \"b\",\n]\n[modules.options]\nx = \"1\"\ny = \"2\"\n[usr]\nimage = \"/i\"\n";
        for (message, want) in [
            ("modules.names: this kernel has no \"b\"", Some(5)),
            ("modules.names: this kernel has no \"c\"", Some(3)),
            ("modules.options: y is not there", Some(9)),
            ("usr.image = \"/i\" is not relative", Some(11)),
            ("usr.init: ", None),
            ("no key at all", None),
        ] {
            assert_eq!(line(text, message), want, "{message}");
        }
    }
}
