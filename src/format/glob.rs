//! Shell patterns as modprobe matches them: `*`, `?`, `[...]`, and `-` equal to `_` outside brackets.
//!
//! Source: kmod's use of fnmatch(3) with no flags, after both sides had `-` turned into `_`.

/// `-` and `_` are one character in module names and aliases.
pub const fn fold(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

/// Whether `pattern` matches the whole of `text`. Linear in both but for backtracking to the last `*`;
/// a pattern with an unclosed bracket matches nothing.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, text);
    // Where to take up again after a mismatch: behind the last star, one character further on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (rest, at) {
            ([b'*', tail @ ..], _) => {
                retry = Some((tail, at));
                Some((tail, at))
            }
            ([], []) => return true,
            ([b'?', tail @ ..], [_, more @ ..]) => Some((tail, more)),
            ([b'[', class @ ..], [byte, more @ ..]) => {
                bracket(class, *byte).map(|tail| (tail, more))
            }
            ([want, tail @ ..], [byte, more @ ..]) if fold(*want) == fold(*byte) => {
                Some((tail, more))
            }
            _ => None,
        };
        (rest, at) = match (step, retry) {
            (Some(next), _) => next,
            (None, Some((tail, [_, more @ ..]))) => {
                retry = Some((tail, more));
                (tail, more)
            }
            _ => return false,
        };
    }
}

/// Matches `byte` against the class that follows a `[`; returns the pattern behind its `]` on a match.
fn bracket(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'!' | b'^', tail @ ..] => (true, tail),
        _ => (false, class),
    };
    let mut found = false;
    let mut first = true;
    loop {
        rest = match rest {
            [b']', tail @ ..] if !first => return (found != negated).then_some(tail),
            [low, b'-', high, tail @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                tail
            }
            [one, tail @ ..] => {
                found |= *one == byte;
                tail
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

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
            ("a[0-3]c", "a2c", true),
            ("a[0-3]c", "a4c", false),
            ("a[!0-3]c", "a4c", true),
            ("a[]x]c", "a]c", true),
            ("a[x-]c", "a-c", true),
            ("a[xy", "ax", false),
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
}
