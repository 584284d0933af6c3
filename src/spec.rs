//! Naming a block device, compared exactly.

use crate::format::uevent::value;
use crate::text::{Line, after, decimal, hex_digit, position, push, word};

/// What to look for.
pub struct Spec {
    /// As it was written; empty: nothing is looked for.
    pub text: Line,
    /// Place in [`KEYS`] of what names it.
    key: usize,
    /// What that has to be.
    value: Line,
    /// `/PARTNROFF=`: how many places behind the partition with the PARTUUID the wanted one stands in the table.
    pub shift: u32,
}

/// What can name a device, as blkid(8) and uevents call it.
const KEYS: &[u8] = b"MAJOR DEVNAME PARTUUID PARTLABEL UUID LABEL";
const NUMBER: usize = 0;
const NODE: usize = 1;
const PARTUUID: usize = 2;
const UUID: usize = 4;
const KEY_COUNT: usize = 6;

/// Who knows what names a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The kernel: it stands in the uevent.
    Kernel,
    /// The table of the disk that the partition is on.
    Table,
    /// The superblock on the device.
    Superblock,
}

impl Spec {
    /// Nothing is named.
    pub const NONE: Self = Self {
        text: Line::new(),
        key: NUMBER,
        value: Line::new(),
        shift: 0,
    };

    /// Reads a SPEC; `None` if it is of no known kind, or could not name anything.
    #[inline(never)] // Measured: smaller so.
    pub fn read(&mut self, text: &[u8]) -> Option<()> {
        self.text.clear();
        push(&mut self.text, text);
        self.value.clear();
        self.shift = 0;
        let named;
        if let Some(link) = after(text, b"/dev/disk/by-") {
            let (key, name) = split(link, b'/')?;
            named = position(b"partuuid partlabel uuid label", key);
            push_unescaped(&mut self.value, name);
        } else if let Some(node) = after(text, b"/dev/") {
            named = NODE.wrapping_sub(PARTUUID);
            push(&mut self.value, node);
        } else if let Some((key, value)) = split(text, b'=') {
            named = position(b"PARTUUID PARTLABEL UUID LABEL", key);
            let (value, shift) = split(value, b'/')
                .filter(|_| named == 0)
                .unwrap_or((value, b"PARTNROFF=0"));
            self.shift = decimal(after(shift, b"PARTNROFF=")?)? as u32;
            push(&mut self.value, value);
        } else {
            let (major, minor) = split(text, b':')?;
            decimal(major).and(decimal(minor))?;
            named = NUMBER.wrapping_sub(PARTUUID);
            push(&mut self.value, text);
        }
        self.key = named.wrapping_add(PARTUUID);
        let good = match self.key {
            PARTUUID => is_partuuid(&self.value),
            key => key < KEY_COUNT && !self.value.is_empty(),
        };
        good.then_some(())
    }

    /// Who knows whether a device is the one.
    pub fn source(&self) -> Source {
        match self.key {
            ..PARTUUID => Source::Kernel,
            ..UUID => Source::Table,
            _ => Source::Superblock,
        }
    }

    /// Whether `fields` say what has to be compared.
    pub fn is_told(&self, fields: &[u8]) -> bool {
        !value(fields, word(KEYS, self.key)).is_empty()
    }

    /// Compares with what is said of a device, as in a uevent.
    pub fn is(&self, fields: &[u8]) -> bool {
        let found = value(fields, word(KEYS, self.key));
        match self.key {
            _ if self.value.is_empty() => false,
            NUMBER => split(&self.value, b':') == Some((found, value(fields, b"MINOR"))),
            PARTUUID | UUID => found.eq_ignore_ascii_case(&self.value),
            _ => found == self.value,
        }
    }
}

/// What stands before and behind the first `separator`.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |byte| *byte == separator);
    Some((parts.next()?, parts.next()?))
}

/// Appends the name of a link in /dev/disk with udev's `\xHH` undone.
fn push_unescaped(text: &mut Line, mut name: &[u8]) {
    while let Some((first, mut rest)) = name.split_first() {
        let mut byte = *first;
        if let [b'\\', b'x', high, low, after @ ..] = name
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            (byte, rest) = (high << 4 | low, after);
        }
        push(text, &[byte]);
        name = rest;
    }
}

/// Whether this can be a GPT's (`8-4-4-4-12` digits) or an MBR's (`8-2`).
fn is_partuuid(text: &[u8]) -> bool {
    matches!(text.len(), 11 | 36)
        && text.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests;
