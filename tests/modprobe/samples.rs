//! Modaliases made from the aliases that `depmod` found.

use std::{fs, path::Path};

/// A text that `pattern` matches; `turn` chooses among many.
fn instance(pattern: &str, turn: &mut usize) -> String {
    // The last ones look like fields that follow, so that a matcher has to go back.
    const ANYTHING: [&str; 6] = ["", "00000001", "FFFF", "01sc06i01", "0sd0", "Virtual:pn"];
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        *turn += 1;
        match next {
            '*' => text.push_str(ANYTHING[*turn % ANYTHING.len()]),
            '?' => text.push(['0', 'F'][*turn % 2]),
            '[' => {
                let class: Vec<char> = rest.by_ref().take_while(|next| *next != ']').collect();
                assert!(
                    class.first().is_some_and(|first| !"!^".contains(*first)),
                    "{pattern}: a class that this test cannot instantiate"
                );
                text.push(class[[0, class.len() - 1][*turn % 2]]);
            }
            _ => text.push(next),
        }
    }
    text
}

/// `text` with one character changed: nearly what some driver asks for.
fn near_miss(text: &str, turn: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = turn % bytes.len();
    bytes[place] = if bytes[place] == b'0' { b'8' } else { b'0' };
    String::from_utf8(bytes).expect("aliases are ASCII")
}

/// The aliases that `depmod` wrote down, without their modules.
pub fn patterns(index: &Path) -> Vec<String> {
    let index = fs::read_to_string(index).expect("the index of aliases");
    index
        .lines()
        .filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '))
        .map(|(pattern, _)| pattern.to_owned())
        .collect()
}

/// For each alias a modalias, half of them with `-` for `_`, and some that miss it by a character.
pub fn from_patterns(patterns: &[String]) -> Vec<String> {
    let mut turn = 0;
    let mut modaliases = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let text = instance(pattern, &mut turn);
        if number % 4 == 0 {
            modaliases.push(near_miss(&text, turn));
        }
        modaliases.push(match number % 2 {
            0 => text.replace('_', "-"),
            _ => text,
        });
    }
    modaliases
}

/// For each alias with a class (`[0-9]`) all hexadecimal digits in the place of its first one.
pub fn from_classes(patterns: &[String]) -> Vec<String> {
    let mut modaliases = Vec::new();
    for pattern in patterns {
        let Some((before, (_, after))) = pattern
            .split_once('[')
            .and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
        else {
            continue;
        };
        for digit in "0123456789ABCDEFabcdef".chars() {
            let mut turn = 0;
            modaliases.push(instance(&format!("{before}{digit}{after}"), &mut turn));
        }
    }
    modaliases
}
