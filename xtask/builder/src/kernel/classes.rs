//! Classes of characters in aliases (`[0-9]`): the plan has none, so that the init need not know them. The few dozen aliases of a kernel
//! that have one become as many as it has characters.
//!
//! Source: kmod's use of fnmatch(3), after `-` outside of brackets, and everywhere in what is looked for, was turned into `_`.

use anyhow::{Result, ensure};
use toehold::format::glob;

/// More than this from one alias is a mistake.
const MAX: usize = 4096;

/// The aliases without classes that match what `alias` matches. Refused: a class with a character that the plan would take for a
/// wildcard, as in every negated one.
pub fn expand(alias: &str) -> Result<Vec<String>> {
    let mut done = vec![String::new()];
    let mut rest = alias;
    while let Some((literal, class)) = rest.split_once('[') {
        let mut members = Vec::new();
        // Without its end it matches nothing.
        let mut behind = "";
        for character in ' '..='~' {
            if character != '-'
                && let Some(after) = after_class(class, character as u8)
            {
                behind = after;
                members.push(character);
            }
        }
        ensure!(
            !members.iter().any(|member| "*?[".contains(*member)),
            "alias \"{alias}\": a class that a wildcard belongs to is not supported"
        );
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
    use super::{expand, matches};

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
        for refused in ["[!0-9]", "[^a]", "[*]", "[#-9?]", "[A-z]"] {
            let why = expand(refused).unwrap_err().to_string();
            assert!(why.contains(refused), "{why}");
        }
        assert!(expand(&"[0-9]".repeat(4)).is_err());
    }

    #[test]
    fn patterns_match() {
        assert!(matches("a[0-3]c*", "a2cd"));
        assert!(!matches("a[0-3]c", "a4c"));
        assert!(matches("a[x_]c", "a-c"));
        assert!(!matches("a[!x]c", "abc"));
    }
}
