//! Text in fixed buffers: bounded lines, and word lists that stand for tables of names.

use heapless::Vec;

/// A log line, a path, the beginning of a file, a device-mapper request. All have the same
/// capacity, because for each capacity the compiler would make code of its own. It is enough for a
/// uevent, and less than a page: a function with a larger stack frame has to touch each of its
/// pages first.
pub type Line = Vec<u8, 3072>;

/// Appends what fits.
pub fn push(text: &mut Line, bytes: &[u8]) {
    let room = text.capacity() - text.len();
    // Cannot fail: the bytes were cut to the room that there is.
    let _ = text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

/// Appends `template` with the `parts` in place of its `%`; what does not fit is cut.
pub fn push_format(text: &mut Line, template: &[u8], parts: &[&[u8]]) {
    let mut pieces = split(template, b'%');
    push(text, pieces.next().unwrap_or_default());
    for part in parts {
        let Some(piece) = pieces.next() else { return };
        push(text, part);
        push(text, piece);
    }
}

/// Iterates over the pieces of a text between its separators; made by [`split`].
pub struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

/// Parts a text at each `separator`. Where that is a newline a NUL ends a line as well, as in
/// uevents. It is used instead of a slice's own `split`, of which the compiler makes a copy for
/// every closure.
pub fn split(text: &[u8], separator: u8) -> Pieces<'_> {
    Pieces {
        rest: Some(text),
        separator,
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let mut bytes = text.iter();
        let end =
            bytes.position(|byte| *byte == self.separator || *byte == 0 && self.separator == b'\n');
        self.rest = end.and_then(|end| text.get(end + 1..));
        end.map_or(Some(text), |end| text.get(..end))
    }
}

/// What stands behind `prefix`, if `text` begins with that.
pub fn after<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(prefix)
}

/// Appends a number in decimal.
pub fn push_number(text: &mut Line, number: u64) {
    let _ = ufmt::uwrite!(text, "{}", number);
}

/// The `index`th word of a list whose words are separated by single spaces.
///
/// A `&'static str` costs 16 bytes of pointer and length; a word in a list costs one.
pub fn word(list: &'static [u8], index: usize) -> &'static [u8] {
    item(list, b' ', index)
}

/// The `index`th item of a list with another separator.
pub fn item(list: &'static [u8], separator: u8, index: usize) -> &'static [u8] {
    nth(list, separator, index).unwrap_or(b"?")
}

/// The same, if there is one.
pub fn nth(list: &[u8], separator: u8, index: usize) -> Option<&[u8]> {
    let mut items = split(list, separator);
    for _ in 0..index {
        items.next()?;
    }
    items.next()
}

/// The word at this place of a list in which places can be empty.
pub fn placed(list: &'static [u8], place: usize) -> Option<&'static [u8]> {
    nth(list, b' ', place).filter(|word| !word.is_empty())
}

/// Appends the word that [`placed`] finds, or `number` if there is none.
pub fn push_placed(text: &mut Line, list: &'static [u8], place: usize, number: usize) {
    match placed(list, place) {
        Some(word) => push(text, word),
        None => push_number(text, number as u64),
    }
}

/// The place of `word`, in any case, in a list of words with single spaces between them; 255 if it
/// is not there.
pub fn position(list: &[u8], word: &[u8]) -> usize {
    split(list, b' ')
        .position(|candidate| is_same(candidate, word))
        .unwrap_or(usize::from(u8::MAX))
}

/// A decimal number and nothing else.
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            None
        } else {
            value.checked_mul(10)?.checked_add(u64::from(digit))
        }
    })
}

/// A boolean as systemd and dracut spell it, in any case; `None`: it is none.
pub fn boolean(text: &[u8]) -> Option<bool> {
    match position(b"0 no n f false off 1 yes y t true on", text) {
        ..6 => Some(false),
        6..12 => Some(true),
        _ => None,
    }
}

/// Whether two texts are the same but for the case of letters.
pub fn is_same(left: &[u8], right: &[u8]) -> bool {
    let mut pairs = left.iter().zip(right);
    left.len() == right.len() && pairs.all(|(left, right)| left.eq_ignore_ascii_case(right))
}

/// The value of a hexadecimal digit.
pub fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends each byte as two lower-case hexadecimal digits.
pub fn push_hex(text: &mut Line, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            push(text, &[digit + if digit < 10 { b'0' } else { b'a' - 10 }]);
        }
    }
}

/// Puts a byte in place of another one, wherever that is.
pub fn replace(text: &mut Line, from: u8, to: u8) {
    for byte in text {
        if *byte == from {
            *byte = to;
        }
    }
}

/// Appends text from outside. Control characters, which would break lines, become `?`.
pub fn push_line(text: &mut Line, bytes: &[u8]) {
    for byte in bytes {
        push(text, &[if *byte < b' ' { b'?' } else { *byte }]);
    }
}

/// Appends a character as UTF-8. Control characters, which would break lines, become `?`.
#[inline(always)] // size: inline
pub fn push_character(text: &mut Line, code: u32) {
    let mut more = match code {
        0..0x80 => return push_line(text, &[code as u8]),
        0x80..0x800 => 1,
        0x800..0x1_0000 => 2,
        _ => 3,
    };
    // The first byte of a sequence begins with as many ones as the sequence has bytes.
    let mut mark = 0xFF00 >> (more + 1);
    loop {
        push(text, &[(code >> (more * 6)) as u8 & 0x3F | mark as u8]);
        if more == 0 {
            return;
        }
        (more, mark) = (more - 1, 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_never_overrun() {
        let mut text = Line::new();
        push(&mut text, &[b'a'; 3071]);
        push(&mut text, b"bc");
        assert_eq!((text.len(), text.last()), (3072, Some(&b'b')));
        push(&mut text, b"x");
        assert_eq!((text.len(), text.last()), (3072, Some(&b'b')));
    }

    #[test]
    fn templates() {
        let filled = |template: &[u8], parts: &[&[u8]]| {
            let mut text = Line::new();
            push_format(&mut text, template, parts);
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(filled(b"a % c", &[b"b"]), "a b c");
        assert_eq!(filled(b"%/%", &[b"a%b", b""]), "a%b/");
        assert_eq!(filled(b"", &[]), "");
        assert_eq!(filled(b"a", &[b"b"]), "a");
    }

    #[test]
    fn words() {
        assert_eq!(word(b"a bc d", 1), b"bc");
        assert_eq!(word(b"a bc d", 3), b"?");
        assert_eq!(position(b"a bc d", b"d"), 2);
        assert_eq!(position(b"a bc d", b"BC"), 1);
        assert!(position(b"a bc d", b"b") > 2);
    }

    #[test]
    fn numbers() {
        assert_eq!(decimal(b"300"), Some(300));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"1 ", b"0x10", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None);
        }
        for yes in ["1", "yes", "y", "t", "true", "on", "True", "ON"] {
            assert_eq!(boolean(yes.as_bytes()), Some(true), "{yes}");
        }
        for no in ["0", "no", "n", "f", "false", "off", "NO", "Off"] {
            assert_eq!(boolean(no.as_bytes()), Some(false), "{no}");
        }
        for neither in ["", "2", "00", "ye", "nope", "0 ", "disable"] {
            assert_eq!(boolean(neither.as_bytes()), None, "{neither}");
        }
        let mut text = Line::new();
        push_hex(&mut text, &[0x00, 0xAF, 0x19]);
        push_number(&mut text, 42);
        assert_eq!(text, b"00af1942");
    }
}
