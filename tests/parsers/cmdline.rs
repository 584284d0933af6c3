//! Command lines, split a second time in the straightforward way and compared.

use proptest::prelude::*;
use toehold::format::cmdline::words;

/// Name and value of a word.
type Pair = (Vec<u8>, Option<Vec<u8>>);

/// The kernel's `next_arg()`, over and over as `parse_args()` calls it, in terms of copies instead of in place.
fn as_the_kernel(line: &[u8]) -> Vec<Pair> {
    let blank = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let mut args: Vec<u8> = line.to_vec();
    let mut found = Vec::new();
    loop {
        args.drain(..args.iter().take_while(|byte| blank(byte)).count());
        if args.is_empty() {
            return found;
        }
        let quoted = args[0] == b'"';
        if quoted {
            args.remove(0);
        }
        let (mut in_quote, mut equals, mut end) = (quoted, 0, 0);
        while end < args.len() && (in_quote || !blank(&args[end])) {
            if equals == 0 && args[end] == b'=' {
                equals = end;
            }
            in_quote ^= args[end] == b'"';
            end += 1;
        }
        let mut word: Vec<u8> = args.drain(..end).collect();
        let mut value = None;
        if equals != 0 {
            let mut text = word.split_off(equals + 1);
            word.pop();
            // "Don't include quotes in value", and then those around the whole word: the last character is the same.
            let opening = text.first() == Some(&b'"');
            if opening {
                text.remove(0);
            }
            if (opening || quoted) && text.last() == Some(&b'"') {
                text.pop();
            }
            value = Some(text);
        } else if quoted && word.last() == Some(&b'"') {
            word.pop();
        }
        if word == b"--" && value.is_none() {
            return found;
        }
        found.push((word, value));
    }
}

fn ours(line: &[u8]) -> Vec<Pair> {
    words(line)
        .map(|word| (word.name.to_vec(), word.value.map(<[u8]>::to_vec)))
        .collect()
}

#[test]
fn every_short_line() {
    let alphabet = b"a=\" -";
    for len in 0..=7 {
        for number in 0..alphabet.len().pow(len) {
            let line: Vec<u8> = (0..len)
                .map(|place| alphabet[number / alphabet.len().pow(place) % alphabet.len()])
                .collect();
            assert_eq!(ours(&line), as_the_kernel(&line), "{}", line.escape_ascii());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn longer_lines(line in r#"[a=" \t-]{0,60}"#) {
        prop_assert_eq!(ours(line.as_bytes()), as_the_kernel(line.as_bytes()));
    }

    /// UTF-8 stays whole: 0xA0, which the kernel's character table calls a blank, is part of `à`.
    #[test]
    fn any_text(name in "[a-z.]{1,9}", value in r"[a-z=à-ÿ\-]{0,20}") {
        let line = format!(" {name}={value}\n");
        prop_assert_eq!(ours(line.as_bytes()), vec![(name.into_bytes(), Some(value.into_bytes()))]);
    }
}
