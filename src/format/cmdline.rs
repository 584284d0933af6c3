//! The kernel command line, split into words and values as the kernel itself splits it.
//!
//! Source: `next_arg()` and `parse_args()` in the kernel's lib/cmdline.c and kernel/params.c. A
//! double quote anywhere keeps blanks together; quotes around the whole word or around the whole
//! value are taken off; `--` ends the words that are meant for the kernel and for us.

use super::glob;
use crate::text::{Line, push};

/// One word: its name, and what stands behind the first `=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Iterates over the words of a command line.
pub struct Words<'a> {
    rest: &'a [u8],
}

/// What stands between words: the kernel's `isspace()`, but for 0xA0: that is a blank in Latin-1,
/// and a part of characters like `à` in UTF-8.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Splits a command line; a trailing newline, as in /proc/cmdline, is white space like any other.
pub fn words(line: &[u8]) -> Words<'_> {
    Words { rest: line }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    #[inline(always)] // size: inline
    fn next(&mut self) -> Option<Word<'a>> {
        let mut text = self.rest;
        while let [byte, rest @ ..] = text
            && is_blank(*byte)
        {
            text = rest;
        }
        text.first()?;
        let mut quoted = false;
        if let [b'"', rest @ ..] = text {
            (quoted, text) = (true, rest);
        }
        let (mut inside, mut equals, mut end) = (quoted, 0, 0);
        while let Some(byte) = text.get(end)
            && (inside || !is_blank(*byte))
        {
            inside ^= *byte == b'"';
            // A `=` at the very start belongs to the name.
            if *byte == b'=' && equals == 0 {
                equals = end;
            }
            end += 1;
        }
        self.rest = text.get(end..)?;
        let mut from = equals + 1;
        if equals != 0 && text.get(from) == Some(&b'"') {
            (quoted, from) = (true, from + 1);
        }
        // One closing quote goes, whether the word or the value or both began with one.
        if quoted && text.get(end.wrapping_sub(1)) == Some(&b'"') {
            end -= 1;
        }
        let word = if equals == 0 {
            Word {
                name: text.get(..end)?,
                value: None,
            }
        } else {
            Word {
                name: text.get(..equals)?,
                value: Some(text.get(from..end).unwrap_or_default()),
            }
        };
        if word.name == b"--" && word.value.is_none() {
            self.rest = b"";
            return None;
        }
        Some(word)
    }
}

/// Appends the parameters that a command line has for a module, as `MODULE.PARAMETER=VALUE`, for
/// finit_module(2), which splits and unquotes them itself. `name` is the kernel's own, without `-`.
///
/// Source: modprobe(8), and kmod's `kmod_config_parse_kcmdline()`, which knows no `--`.
pub fn push_parameters(text: &mut Line, name: &[u8], line: &[u8]) {
    // How many bytes of `NAME.` this word has begun with; more than that has where it does not.
    let (mut quoted, mut seen) = (false, 0);
    let all = name.len() + 1;
    for byte in line {
        quoted ^= *byte == b'"';
        if is_blank(*byte) && !quoted {
            seen = 0;
        } else if seen == all {
            push(text, &[*byte]);
        } else if glob::fold(*byte) == *name.get(seen).unwrap_or(&b'.') {
            seen += 1;
            if seen == all {
                push(text, b" ");
            }
        } else {
            seen = all + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{push_parameters, words};
    use crate::text::Line;

    fn split(line: &str) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        words(line.as_bytes())
            .map(|word| (text(word.name), word.value.map(text)))
            .collect()
    }

    fn expect(line: &str, want: &[(&str, Option<&str>)]) {
        let want: Vec<_> = want
            .iter()
            .map(|(name, value)| (name.to_string(), value.map(str::to_string)))
            .collect();
        assert_eq!(split(line), want, "{line}");
    }

    #[test]
    fn as_the_kernel_splits() {
        expect("", &[]);
        expect(" \t\n\x0B\x0C\r", &[]);
        expect("a\x1Fb \x01", &[("a\x1Fb", None), ("\x01", None)]);
        expect("à=à", &[("à", Some("à"))]);
        expect("quiet ro\n", &[("quiet", None), ("ro", None)]);
        expect("a=1  b=2", &[("a", Some("1")), ("b", Some("2"))]);
        expect("a=b=c", &[("a", Some("b=c"))]);
        expect("a=", &[("a", Some(""))]);
        expect("=a", &[("=a", None)]);
        expect("=a=b", &[("=a", Some("b"))]);
        expect(r#"a="b c" d"#, &[("a", Some("b c")), ("d", None)]);
        expect(r#""a=b c" d"#, &[("a", Some("b c")), ("d", None)]);
        expect(r#"a=b" "c"#, &[("a", Some(r#"b" "c"#))]);
        expect(r#"a="b c"#, &[("a", Some("b c"))]);
        expect(r#"a="b"c"#, &[("a", Some(r#"b"c"#))]);
        expect(r#""a="b"""#, &[("a", Some(r#"b""#))]);
        expect(r#""=a=b""#, &[("=a", Some("b"))]);
        expect("a -- b", &[("a", None)]);
        expect("a --=1 b", &[("a", None), ("--", Some("1")), ("b", None)]);
        expect(r#"a """#, &[("a", None), ("", None)]);
    }

    #[test]
    fn parameters_of_a_module() {
        let line = r#"usb_core.nousb usb-storage.quirks=1:2:u a="b usb_storage.c"
            usb_storage.d= storage.e=f usb_storage=g
            usb_storage.h.i=j
            x=usb_storage.y usb_storage.k="l m" usb_storage.n=o
"#;
        let parameters = |name: &str| {
            let mut text = Line::new();
            push_parameters(&mut text, name.as_bytes(), line.as_bytes());
            String::from_utf8(text.to_vec()).unwrap()
        };
        let storage = r#" quirks=1:2:u d= h.i=j k="l m" n=o"#;
        assert_eq!(parameters("usb_storage"), storage);
        assert_eq!(parameters("usb_core"), " nousb");
        assert_eq!(parameters("usb"), "");
        assert_eq!(parameters(""), "");
    }
}
