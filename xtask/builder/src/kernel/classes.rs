//! Classes of characters in aliases (`[0-9]`): the plan has none, so that the init need not know them. The few dozen aliases of a kernel
//! that have one become as many as it has characters.
//!
//! Source: kmod's use of fnmatch(3), after `-` outside of brackets, and everywhere in what is looked for, was turned into `_`.

use anyhow::{Result, ensure};
use toehold::format::glob;

/// More than this from one alias is a mistake.
const MAX: usize = 4096;

/// Refuses an alias that nothing can ask by: no modalias has other characters than those of ASCII that are printed.
pub fn check(alias: &str) -> Result<()> {
    let is_printed = |letter: char| letter.is_ascii_graphic() || letter == ' ';
    ensure!(
        alias.chars().all(is_printed),
        "alias \"{}\" has characters that no modalias has",
        alias.escape_default()
    );
    expand(alias).map(drop)
}

/// The aliases without classes that match what `alias` matches. No modalias has one of the characters that the plan would take for a
/// wildcard, so a class, negated or not, does not stand for them.
pub fn expand(alias: &str) -> Result<Vec<String>> {
    let mut done = vec![String::new()];
    let mut rest = alias;
    while let Some((literal, class)) = rest.split_once('[') {
        let mut members = Vec::new();
        // Without its end it matches nothing.
        let mut behind = "";
        for character in ' '..='~' {
            if !"-*?[".contains(character)
                && let Some(after) = after_class(class, character as u8)
            {
                behind = after;
                members.push(character);
            }
        }
        ensure!(
            done.len() * members.len() <= MAX,
            "alias \"{alias}\": its classes stand for more than {MAX} aliases"
        );
        done = done
            .iter()
            .flat_map(|start| {
                members
                    .iter()
                    .map(move |member| format!("{start}{literal}{member}"))
            })
            .collect();
        rest = behind;
    }
    for alias in &mut done {
        alias.push_str(rest);
    }
    Ok(done)
}

/// Whether `alias` matches `text`, as modprobe would see it.
pub fn matches(alias: &str, text: &str) -> bool {
    let matches = |alias: &str| glob::matches(alias.as_bytes(), text.as_bytes());
    if alias.contains('[') {
        expand(alias).is_ok_and(|aliases| aliases.iter().any(|alias| matches(alias)))
    } else {
        matches(alias)
    }
}

/// Compares a character with the class that begins here, behind its `[`; what follows the class if it is in it.
fn after_class(class: &str, character: u8) -> Option<&str> {
    let bytes = class.as_bytes();
    let negated = matches!(bytes, [b'!' | b'^', ..]);
    let (mut found, start) = (false, usize::from(negated));
    let mut at = start;
    loop {
        at += match bytes.get(at..)? {
            [b']', ..] if at != start => {
                return (found != negated).then(|| &class[at + 1..]);
            }
            [low, b'-', high, ..] if *high != b']' => {
                found |= (*low..=*high).contains(&character);
                3
            }
            [one, ..] => {
                found |= *one == character;
                1
            }
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{check, expand, matches};

    #[test]
    fn each_character_makes_an_alias() {
        for (alias, want) in [
            ("a*", &["a*"][..]),
            (
                "d[0-2]*[MU]e",
                &["d0*Me", "d0*Ue", "d1*Me", "d1*Ue", "d2*Me", "d2*Ue"],
            ),
            ("[]x]", &["]", "x"]),
            // In what is looked for there is no `-`.
            ("[x-]c", &["xc"]),
            ("[_x]-", &["_-", "x-"]),
            ("[9-0]", &[]),
            ("a[xy", &[]),
        ] {
            assert_eq!(expand(alias).unwrap(), want, "{alias}");
        }
        // All that are printed but for these and four that no modalias has.
        assert_eq!(expand("[!0-9]").unwrap().len(), 95 - 10 - 4);
        assert_eq!(expand("[^!-~]").unwrap(), [" "]);
        assert_eq!(expand("[*]").unwrap(), [""; 0]);
        assert!(expand(&"[0-9]".repeat(4)).is_err());
    }

    #[test]
    fn aliases_that_nothing_asks_by() {
        for alias in ["a\tb", "pci:v\u{e4}*", "a\n", &"[!a]".repeat(2)] {
            let why = check(alias).unwrap_err().to_string();
            assert!(why.contains(&alias.escape_default().to_string()), "{why}");
        }
        for alias in ["a b", "of:N*T*Cx,y", "[!0-9]"] {
            check(alias).unwrap();
        }
    }

    #[test]
    fn patterns_match() {
        assert!(matches("a[0-3]c*", "a2cd"));
        assert!(!matches("a[0-3]c", "a4c"));
        assert!(matches("a[x_]c", "a-c"));
        assert!(matches("a[!x]c", "abc") && !matches("a[!x]c", "axc"));
    }
}
