//! Takes the numbers out of aliases, so that those of thousands of devices share few shapes.

use anyhow::{Result, ensure};
use toehold::format::glob::{self, DIGIT};

/// Buses whose modaliases are fields in a fixed order, each a lower-case name and upper-case hexadecimal digits. Only there is
/// a digit behind a `*` found in one way.
const FIELDS: [&str; 6] = ["hid:", "pci:", "pcmcia:", "sdio:", "usb:", "virtio:"];

/// Digits that fit a key.
const KEY_DIGITS: usize = 16;

/// Which fields become part of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// Those of a device's identity: four or eight digits.
    Identity,
    /// Class codes and the like too.
    All,
}

/// An alias without its numbers: a shell pattern with [`DIGIT`] in it, and the number that those digits make.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Shape {
    pub pattern: Vec<u8>,
    pub key: u64,
}

impl Shape {
    /// Splits an alias that has no classes; `-` becomes `_`, as kmod compares them.
    pub fn of(alias: &str, take: Take) -> Result<Self> {
        ensure!(
            alias
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' '),
            "alias \"{}\" has characters that no modalias has",
            alias.escape_default()
        );
        let fields = FIELDS.iter().any(|bus| alias.starts_with(bus));
        let mut shape = Self {
            pattern: Vec::new(),
            key: 0,
        };
        let (mut rest, mut left) = (alias.as_bytes(), KEY_DIGITS);
        while let Some((byte, after)) = rest.split_first() {
            let digits = rest
                .iter()
                .take_while(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
                .count();
            let (number, behind) = rest.split_at(digits);
            let named = shape.pattern.last().is_some_and(u8::is_ascii_lowercase);
            if fields && named && digits > 0 {
                let zeros = if number.starts_with(b"0000") && digits == 8 {
                    4
                } else {
                    0
                };
                let wanted = take == Take::All || digits == 4 || digits == 8;
                let (literal, taken) = number.split_at(if wanted && digits - zeros <= left {
                    zeros
                } else {
                    digits
                });
                shape.pattern.extend(literal);
                shape.pattern.extend(taken.iter().map(|_| DIGIT));
                for digit in taken {
                    shape.key =
                        shape.key << 4 | u64::from((*digit as char).to_digit(16).unwrap_or(0));
                }
                left -= taken.len();
                rest = behind;
                continue;
            }
            shape.pattern.push(glob::fold(*byte));
            rest = after;
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, Take};

    #[test]
    fn digits_become_the_key() {
        use Take::{All, Identity};
        for (alias, take, pattern, key) in [
            (
                "pci:v00008086d00002922sv*sd*bc01sc*i*",
                Identity,
                "pci:v0000####d0000####sv*sd*bc01sc*i*",
                0x8086_2922,
            ),
            (
                "pci:v00008086d00002922sv*sd*bc01sc*i*",
                All,
                "pci:v0000####d0000####sv*sd*bc##sc*i*",
                0x80_8629_2201,
            ),
            (
                "usb:v0951p1666d01*dc*",
                All,
                "usb:v####p####d##*dc*",
                0x09_5116_6601,
            ),
            (
                "hid:b0003g*v0000045Ep0000028E",
                Identity,
                "hid:b####g*v0000####p0000####",
                0x0003_045E_028E,
            ),
            // Sixteen digits are all that a key holds.
            (
                "pcmcia:m*pa01234567pb89ABCDEFpc11112222pd*",
                Identity,
                "pcmcia:m*pa########pb########pc11112222pd*",
                0x0123_4567_89AB_CDEF,
            ),
            // Not made of fields: an ACPI device may have several identifiers in one modalias.
            ("acpi*:PNP0C14:*", All, "acpi*:PNP0C14:*", 0),
            ("crypto-sha256-ni", All, "crypto_sha256_ni", 0),
            ("a*-b", All, "a*_b", 0),
        ] {
            let shape = Shape::of(alias, take).unwrap();
            let shown = String::from_utf8(shape.pattern)
                .unwrap()
                .replace('\u{1}', "#");
            assert_eq!((shown.as_str(), shape.key), (pattern, key), "{alias}");
        }
        assert!(Shape::of("a\u{1}", All).is_err());
    }
}
