//! Naming a block device, and whether a device is the one that is named: exactly, never by a part
//! of a name.

use crate::format::glob::{NONE, place_of};
use crate::format::uevent::{Key, is, value};
use crate::text::{Line, after, decimal, hex_digit, is_same, push, word};

/// What is known of a block device.
pub struct Facts<'a> {
    /// What the kernel says, as in a uevent.
    pub event: &'a Line,
    /// What was read besides, as [`Spec::needs`] asked for it: from the table of its disk or from
    /// its superblock, in the same form.
    pub read: Line,
}

impl<'a> Facts<'a> {
    /// Before anything is read.
    pub fn of(event: &'a Line) -> Self {
        Self {
            event,
            read: Line::new(),
        }
    }
}

/// What has to be read of a device before it can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// The kernel has said it.
    Nothing,
    /// What the table says of the partition so many places before this one.
    Partition { shift: u32 },
    /// What the device's superblock says.
    Superblock,
    /// That the kernel shows all partitions of this disk.
    Partitions,
}

/// What to look for.
pub struct Spec {
    /// As it was written; empty: nothing is looked for.
    pub text: Line,
    /// The field that the device is named by.
    key: Key,
    /// What the field has to be.
    value: Line,
    /// `/PARTNROFF=`: how many places behind the partition with the PARTUUID the wanted one stands
    /// in the table.
    pub shift: u32,
}

/// What a SPEC can begin with: the links that udev would make, the short forms of these in the same
/// order, and nodes.
const PREFIXES: &[u8] =
    b"/dev/disk/by-partuuid/ /dev/disk/by-partlabel/ /dev/disk/by-uuid/ /dev/disk/by-label/ \
PARTUUID= PARTLABEL= UUID= LABEL= /dev/";

/// The place of the pattern for all other nodes below a directory.
const NESTED: usize = 2;

/// Where the name of a device can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// In the uevent: the kernel knows it.
    Kernel,
    /// In the partition table of the disk that the partition is on.
    Table,
    /// In the superblock on the device.
    Superblock,
}

impl Spec {
    /// Nothing is named.
    pub const NONE: Self = Self {
        text: Line::new(),
        key: Key::ACTION,
        value: Line::new(),
        shift: 0,
    };

    /// Reads a SPEC; `None` if it is of no known kind, or could not name anything. What is named
    /// may stand in quotes, and have bytes as udev spells those that cannot stand in the name of a
    /// link: `\x20`.
    ///
    /// Source: systemd's `fstab_node_to_udev_node()`, libblkid's `blkid_parse_tag_string()`.
    pub fn read(&mut self, text: &[u8]) -> Option<()> {
        self.text.clear();
        push(&mut self.text, text);
        self.value.clear();
        self.shift = 0;
        self.key = Key::MAJOR;
        let mut rest = text;
        for place in 0..9 {
            if let Some(name) = after(text, word(PREFIXES, place)) {
                rest = name;
                self.key = match place {
                    ..8 => Key(Key::PARTUUID.0 + place as u8 % 4),
                    _ => Key::DEVNAME,
                };
                break;
            }
        }
        if let [quote @ (b'"' | b'\''), quoted @ ..] = rest {
            rest = quoted.strip_suffix(&[*quote])?;
        }
        while let Some((first, mut after)) = rest.split_first() {
            let mut byte = *first;
            if let [b'\\', b'x', high, low, behind @ ..] = rest {
                byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
                after = behind;
            }
            if byte == b'/' && self.key == Key::PARTUUID {
                self.shift = decimal(crate::text::after(after, b"PARTNROFF=")?)? as u32;
                break;
            }
            push(&mut self.value, &[byte]);
            rest = after;
        }
        // Nodes below a directory are links that only udev would make, but for rare drivers.
        let (patterns, radix): (&[u8], _) = match self.key {
            Key::MAJOR => (b"?*:?*", 10),
            // A GPT's or an MBR's.
            Key::PARTUUID => (b"????????-????-????-????-???????????? ????????-??", 16),
            // A FAT's is the short one.
            Key::UUID => (b"????????-????-????-????-???????????? ????-????", 16),
            Key::DEVNAME => (b"etherd/?* cciss/?* */* ?*", 0),
            _ => (b"?*", 0),
        };
        let is_digit = |byte: &u8| {
            radix == 0
                || matches!(byte, b'-' | b':')
                || hex_digit(*byte).is_some_and(|digit| digit < radix)
        };
        let is_good = match place_of(patterns, &self.value) {
            NESTED | NONE => false,
            _ => self.value.iter().all(is_digit) && !self.text.is_full(),
        };
        is_good.then_some(())
    }

    /// Where it can be read whether a device is the one.
    pub fn source(&self) -> Source {
        match self.key {
            Key::PARTUUID | Key::PARTLABEL => Source::Table,
            Key::UUID | Key::LABEL => Source::Superblock,
            _ => Source::Kernel,
        }
    }

    /// What has to be read of the device that a uevent is about.
    #[inline(always)] // size: inline
    pub fn needs(&self, event: &Line) -> Needs {
        match self.source() {
            Source::Superblock => Needs::Superblock,
            // Since Linux 6.13 the kernel says what the partition itself is called, but not what
            // its neighbours are.
            Source::Table if self.shift != 0 || is(event, self.key, b"") => {
                Needs::Partition { shift: self.shift }
            }
            _ => Needs::Nothing,
        }
    }

    /// Whether a device is the one that is meant. The facts are what [`Spec::needs`] asked for.
    pub fn matches(&self, needs: Needs, facts: &Facts) -> bool {
        self.is(match needs {
            Needs::Nothing => facts.event,
            _ => &facts.read,
        })
    }

    /// Compares with what is said of a device, as in a uevent.
    fn is(&self, fields: &Line) -> bool {
        let mut found = Line::new();
        push(&mut found, value(fields, self.key));
        if self.key == Key::MAJOR {
            push(&mut found, b":");
            push(&mut found, value(fields, Key::MINOR));
        }
        match self.key {
            _ if self.text.is_empty() => false,
            Key::PARTUUID | Key::UUID => is_same(&found, &self.value),
            _ => found.as_slice() == self.value.as_slice(),
        }
    }
}

#[cfg(test)]
mod tests;
