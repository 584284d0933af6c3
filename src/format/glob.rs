//! Shell patterns as modprobe matches them: `*`, `?`, and `-` equal to `_`. Classes of characters
//! are the builder's business.
//!
//! Source: kmod's use of fnmatch(3) with no flags, after both sides had `-` turned into `_`.

use crate::text::split;

/// `-` and `_` are one character in module names and aliases.
pub const fn fold(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

/// In a pattern of the plan: one upper-case hexadecimal digit, which becomes part of the key.
pub const DIGIT: u8 = 1;

/// Whether `pattern` matches the whole of `text`. Linear in both but for backtracking to the last
/// `*`.
#[inline(always)] // size: inline
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    key(pattern, text).is_some()
}

/// The place of the first pattern of a list, single spaces between them, that matches the whole of
/// `text`; [`NONE`] if none does.
#[inline(never)] // size: inline
pub fn place_of(patterns: &[u8], text: &[u8]) -> usize {
    let mut patterns = split(patterns, b' ');
    let place = patterns.position(|pattern| matches(pattern, text));
    place.unwrap_or(NONE)
}

/// More than any list has.
pub const NONE: usize = 255;

/// As [`matches`]; a match yields the digits that stand where the pattern has [`DIGIT`], read as
/// one hexadecimal number (of more than 16 the last 16).
pub fn key(pattern: &[u8], text: &[u8]) -> Option<u64> {
    let (mut rest, mut at, mut key) = (pattern, text, 0);
    // Where to take up again after a mismatch: behind the last star, one character further on.
    let mut retry: Option<(&[u8], &[u8], u64)> = None;
    loop {
        let step = match (rest, at) {
            ([b'*', tail @ ..], _) => {
                retry = Some((tail, at, key));
                Some((tail, at))
            }
            ([], []) => return Some(key),
            ([b'?', tail @ ..], [_, more @ ..]) => Some((tail, more)),
            ([DIGIT, tail @ ..], [byte, more @ ..]) => digit(*byte).map(|value| {
                key = key << 4 | value;
                (tail, more)
            }),
            ([letter, tail @ ..], [byte, more @ ..]) if fold(*letter) == fold(*byte) => {
                Some((tail, more))
            }
            _ => None,
        };
        (rest, at) = match (step, retry) {
            (Some(next), _) => next,
            (None, Some((tail, [_, more @ ..], before))) => {
                retry = Some((tail, more, before));
                key = before;
                (tail, more)
            }
            _ => return None,
        };
    }
}

/// The value of an upper-case hexadecimal digit, as the kernel writes them into modaliases.
fn digit(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'A'..=b'F' => Some(u64::from(byte - b'A') + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{key, matches};

    #[test]
    fn as_fnmatch_does() {
        for (pattern, text, want) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "aXbXbXc", true),
            (
                "pci:v00001AF4d*sv*sd*bc*sc*i*",
                "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00",
                true,
            ),
            (
                "pci:v00001AF4d*sv*sd*bc*sc*i*",
                "pci:v00008086d00001000sv00001AF4sd00000001bc02sc00i00",
                false,
            ),
            (
                "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00",
                true,
            ),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("virtio-pci", "virtio_pci", true),
            ("virtio_pci", "virtio-pci", true),
            ("a*", "b", false),
            ("**a", "xxa", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                want,
                "{pattern} ~ {text}"
            );
        }
    }
    #[test]
    fn keys() {
        for (pattern, text, want) in [
            ("v\u{1}\u{1}d\u{1}", "v1Fd0", Some(0x1F0)),
            ("v\u{1}\u{1}d\u{1}", "v1fd0", None),
            ("v\u{1}\u{1}", "v1", None),
            ("v", "v", Some(0)),
            // Digits read before a star moved on do not count.
            ("g*v\u{1}\u{1}p", "gv1v23p", Some(0x23)),
        ] {
            let got = key(pattern.as_bytes(), text.as_bytes());
            assert_eq!(got, want, "{pattern} ~ {text}");
        }
    }
}
