//! Naming a block device: `PARTUUID=`, `PARTLABEL=` or `/dev/…`, compared exactly.

use crate::format::{gpt, uevent};
use crate::text::hex_digit;

/// What to look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spec<'a> {
    /// The partition's GUID as written, and in the byte order of a GPT entry.
    PartUuid(&'a [u8], [u8; 16]),
    PartLabel(&'a [u8]),
    /// Node name below /dev.
    Node(&'a [u8]),
}

/// Whether a block device is the one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    Yes,
    No,
    /// Only the partition table of its disk can tell.
    AskTable,
}

impl<'a> Spec<'a> {
    /// Reads a SPEC; `None` if it is of no known kind, or no GUID.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(guid) = text.strip_prefix(b"PARTUUID=") {
            Some(Self::PartUuid(guid, parse_guid(guid)?))
        } else if let Some(label) = text.strip_prefix(b"PARTLABEL=") {
            (!label.is_empty()).then_some(Self::PartLabel(label))
        } else {
            text.strip_prefix(b"/dev/")
                .filter(|node| !node.is_empty())
                .map(Self::Node)
        }
    }

    /// Compares with the uevent of a block device.
    pub fn matches(&self, event: &[u8]) -> Match {
        let exact = |yes| if yes { Match::Yes } else { Match::No };
        match self {
            Self::Node(name) => exact(uevent::value(event, b"DEVNAME") == Some(*name)),
            _ if uevent::value(event, b"PARTN").is_none() => Match::No,
            // Kernels since 6.13 tell.
            Self::PartUuid(guid, _) => match uevent::value(event, b"PARTUUID") {
                Some(found) => exact(found.eq_ignore_ascii_case(guid)),
                None => Match::AskTable,
            },
            // The kernel's PARTNAME has everything but ASCII replaced, so it is not asked.
            Self::PartLabel(_) => Match::AskTable,
        }
    }

    /// Compares with an entry of a partition table.
    pub fn matches_entry(&self, entry: &gpt::Entry) -> bool {
        match self {
            Self::PartUuid(_, guid) => entry.guid() == Some(guid),
            Self::PartLabel(label) => entry.is_named(label),
            Self::Node(_) => false,
        }
    }

    /// Whether a partition table can identify it.
    pub fn is_in_table(&self) -> bool {
        !matches!(self, Self::Node(_))
    }
}

/// `8-4-4-4-12` hexadecimal digits into a GUID's bytes on disk: the first three groups are little endian.
fn parse_guid(text: &[u8]) -> Option<[u8; 16]> {
    /// Where on disk each byte of the text goes.
    const PLACES: [u8; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut guid = [0; 16];
    let mut rest = text;
    for (index, place) in PLACES.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            rest = rest.strip_prefix(b"-")?;
        }
        let ([high, low], after) = rest.split_first_chunk()?;
        *guid.get_mut(usize::from(*place))? = hex_digit(*high)? << 4 | hex_digit(*low)?;
        rest = after;
    }
    rest.is_empty().then_some(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";

    #[test]
    fn kinds() {
        let bytes = *b"\x4a\xc9\x30\x71\x3a\x21\x5a\x4e\x8e\x26\x6c\xce\x96\x62\xf1\x32";
        let text = format!("PARTUUID={GUID}");
        assert_eq!(
            Spec::parse(text.as_bytes()),
            Some(Spec::PartUuid(GUID.as_bytes(), bytes))
        );
        assert!(
            matches!(Spec::parse(text.to_uppercase().as_bytes()), Some(Spec::PartUuid(_, found)) if found == bytes)
        );
        assert_eq!(
            Spec::parse(b"PARTLABEL=USR-A"),
            Some(Spec::PartLabel(b"USR-A"))
        );
        assert_eq!(
            Spec::parse(b"/dev/cciss/c0d0p1"),
            Some(Spec::Node(b"cciss/c0d0p1"))
        );
        for bad in [
            "",
            "/dev/",
            "PARTUUID=",
            "PARTLABEL=",
            "UUID=1234-5678",
            "sda1",
            "PARTUUID=7130c94a213a4e5a8e266cce9662f132",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f13",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f1322",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f13g",
            "PARTUUID=12345678-01",
        ] {
            assert_eq!(Spec::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn events() {
        let old = b"DEVNAME=vda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=USR-A\n";
        let new = format!("DEVNAME=vda2\nPARTN=2\nPARTUUID={}\n", GUID.to_uppercase());
        let text = format!("PARTUUID={GUID}");
        let guid = Spec::parse(text.as_bytes()).unwrap();
        assert_eq!(guid.matches(old), Match::AskTable);
        assert_eq!(guid.matches(new.as_bytes()), Match::Yes);
        assert_eq!(
            guid.matches(b"PARTN=1\nPARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f133\n"),
            Match::No
        );
        assert_eq!(guid.matches(b"DEVNAME=vda\nDEVTYPE=disk\n"), Match::No);
        assert_eq!(Spec::Node(b"vda2").matches(old), Match::Yes);
        assert_eq!(Spec::Node(b"vda").matches(old), Match::No);
        assert_eq!(Spec::Node(b"vda22").matches(old), Match::No);
    }
}
