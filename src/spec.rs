//! Naming a block device: `PARTUUID=`, `PARTLABEL=` or `/dev/…`, compared exactly.

use crate::format::{gpt, uevent};
use crate::text::{Line, after, hex_digit, push};

/// What to look for.
pub struct Spec<'a> {
    /// As it was written.
    pub text: Option<&'a [u8]>,
    /// Unless it is a node: what the partition's entry in a GPT has.
    pub field: gpt::Field,
}

/// Where nodes are.
const NODE: &[u8] = b"/dev/";

/// Whether a block device is the one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    Yes,
    No,
    /// Only the partition table of its disk can tell.
    AskTable,
}

impl<'a> Spec<'a> {
    /// Nothing is named.
    pub const fn none() -> Self {
        Self {
            text: None,
            field: gpt::Field {
                offset: 0,
                bytes: Line::new(),
            },
        }
    }

    /// Reads a SPEC; `None` if it is of no known kind, no GUID, or a label that no GPT can hold.
    #[inline(never)] // Measured: smaller so.
    pub fn read(&mut self, text: &'a [u8]) -> Option<()> {
        self.text = Some(text);
        if let Some(node) = after(text, NODE) {
            // Links that udev would make do not exist here.
            return (!node.is_empty() && !node.starts_with(b"disk/")).then_some(());
        }
        if let Some(guid) = after(text, b"PARTUUID=") {
            self.field.offset = gpt::GUID;
            return push_guid(&mut self.field.bytes, guid);
        }
        let label = after(text, b"PARTLABEL=").filter(|label| !label.is_empty())?;
        self.field.offset = gpt::NAME;
        push_utf16(&mut self.field.bytes, label)
    }

    /// Compares with the uevent of a block device.
    pub fn matches(&self, event: &[u8]) -> Match {
        let exact = |yes| if yes { Match::Yes } else { Match::No };
        if let Some(node) = self.text.and_then(|text| after(text, NODE)) {
            return exact(uevent::is(event, b"DEVNAME", node));
        }
        if uevent::value(event, b"PARTN").is_empty() {
            return Match::No;
        }
        // Kernels since 6.13 tell. The kernel's PARTNAME has everything but ASCII replaced, so it is not asked.
        let guid = uevent::value(event, b"PARTUUID");
        if self.field.offset == gpt::GUID && !guid.is_empty() {
            let mut entry = Line::new();
            return exact(push_guid(&mut entry, guid).is_some() && entry == self.field.bytes);
        }
        Match::AskTable
    }
}

/// Appends `8-4-4-4-12` hexadecimal digits as a GUID's bytes on disk: the first three groups are little endian.
fn push_guid(entry: &mut Line, text: &[u8]) -> Option<()> {
    /// Where on disk each byte of the text goes; 16 stands for a dash.
    const PLACES: &[u8] =
        b"\x03\x02\x01\0\x10\x05\x04\x10\x07\x06\x10\x08\x09\x10\x0A\x0B\x0C\x0D\x0E\x0F";
    let mut guid = [0; 16];
    let mut rest = text;
    for place in PLACES {
        rest = match (guid.get_mut(usize::from(*place)), rest) {
            (Some(byte), [high, low, tail @ ..]) => {
                *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
                tail
            }
            (None, [b'-', tail @ ..]) => tail,
            _ => return None,
        };
    }
    push(entry, &guid);
    rest.is_empty().then_some(())
}

/// Appends UTF-8 as UTF-16, little endian, with a NUL behind it where there is room; `None` if it is no text or too long.
fn push_utf16(units: &mut Line, text: &[u8]) -> Option<()> {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let ones = first.leading_ones();
        let mut code = u32::from(*first & 0x7Fu8.checked_shr(ones)?);
        for _ in 1..ones {
            let [next @ 0x80..0xC0, after @ ..] = rest else {
                return None;
            };
            rest = after;
            code = code << 6 | u32::from(*next & 0x3F);
        }
        // Each code in the one length that is its own; halves of surrogate pairs are no text.
        let wanted = match code {
            0..0x80 => 0,
            0x80..0x800 => 2,
            0x800..0x1_0000 if code & 0xF800 != 0xD800 => 3,
            0x1_0000..0x11_0000 => 4,
            _ => 1,
        };
        if ones != wanted {
            return None;
        }
        if code > 0xFFFF {
            push(units, &(0xD7C0 + (code >> 10) as u16).to_le_bytes());
            code = 0xDC00 | code & 0x3FF;
        }
        push(units, &(code as u16).to_le_bytes());
    }
    if units.len() < gpt::NAME_LEN {
        push(units, &[0, 0]);
    }
    (units.len() <= gpt::NAME_LEN).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";
    const BYTES: &[u8] = b"\x4a\xc9\x30\x71\x3a\x21\x5a\x4e\x8e\x26\x6c\xce\x96\x62\xf1\x32";

    fn parse(text: &[u8]) -> Option<Spec<'_>> {
        let mut spec = Spec::none();
        spec.read(text).map(|()| spec)
    }

    fn entry(text: &str) -> Option<(usize, Vec<u8>)> {
        parse(text.as_bytes()).map(|spec| (spec.field.offset, spec.field.bytes.to_vec()))
    }

    fn utf16(label: &str) -> Vec<u8> {
        label.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn kinds() {
        assert_eq!(
            entry(&format!("PARTUUID={GUID}")),
            Some((16, BYTES.to_vec()))
        );
        assert_eq!(
            entry(&format!("PARTUUID={}", GUID.to_uppercase())),
            Some((16, BYTES.to_vec()))
        );
        assert_eq!(
            entry("PARTLABEL=USR-A"),
            Some((56, b"U\0S\0R\0-\0A\0\0\0".to_vec()))
        );
        assert_eq!(entry("/dev/cciss/c0d0p1"), Some((0, Vec::new())));
        for bad in [
            "",
            "/dev/",
            "/dev/disk/by-label/USR-A",
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
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn labels_in_utf16() {
        for label in [
            "a",
            "Größe",
            "数据",
            "disk 💾 2",
            "123456789012345678901234567890123456",
        ] {
            let mut want = utf16(label);
            if want.len() < gpt::NAME_LEN {
                want.extend([0, 0]);
            }
            assert_eq!(
                entry(&format!("PARTLABEL={label}")),
                Some((56, want)),
                "{label}"
            );
        }
        assert_eq!(
            entry("PARTLABEL=1234567890123456789012345678901234567"),
            None
        );
        for bad in [
            &b"PARTLABEL=\xff"[..],
            b"PARTLABEL=\x80",
            b"PARTLABEL=\xc3",
            b"PARTLABEL=\xc3a",
            b"PARTLABEL=\xf0\x9f",
        ] {
            assert!(parse(bad).is_none(), "{bad:x?}");
        }
    }

    #[test]
    fn events() {
        let old = b"DEVNAME=vda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=USR-A\n";
        let new = format!("DEVNAME=vda2\nPARTN=2\nPARTUUID={}\n", GUID.to_uppercase());
        let text = format!("PARTUUID={GUID}");
        let guid = parse(text.as_bytes()).unwrap();
        assert_eq!(guid.matches(old), Match::AskTable);
        assert_eq!(guid.matches(new.as_bytes()), Match::Yes);
        assert_eq!(
            guid.matches(b"PARTN=1\nPARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f133\n"),
            Match::No
        );
        assert_eq!(guid.matches(b"PARTN=1\nPARTUUID=12345678-01\n"), Match::No);
        assert_eq!(guid.matches(b"DEVNAME=vda\nDEVTYPE=disk\n"), Match::No);
        let label = parse(b"PARTLABEL=USR-A").unwrap();
        assert_eq!(label.matches(new.as_bytes()), Match::AskTable);
        assert_eq!(parse(b"/dev/vda2").unwrap().matches(old), Match::Yes);
        assert_eq!(parse(b"/dev/vda").unwrap().matches(old), Match::No);
        let slash = parse(b"/dev/cciss/c0d0p1").unwrap();
        assert_eq!(slash.matches(b"DEVNAME=cciss/c0d0p1\n"), Match::Yes);
        assert_eq!(parse(b"/dev/vda22").unwrap().matches(old), Match::No);
    }
}
