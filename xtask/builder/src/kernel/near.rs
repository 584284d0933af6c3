//! Suggestions for what somebody may have meant.

/// The candidates most like `wanted`, as the end of an error message: empty if none is.
pub fn hint<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let limit = 1 + wanted.len() / 4;
    let mut close: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(wanted.len()) <= limit)
        .map(|candidate| (distance(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    close.sort_unstable();
    close.dedup();
    let close: Vec<&str> = close.into_iter().take(3).map(|(_, name)| name).collect();
    match close.as_slice() {
        [] => String::new(),
        close => format!("; close to it: {}", close.join(", ")),
    }
}

/// Levenshtein distance, `-` and `_` being one: edits of one character that turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let fold = toehold::format::glob::fold;
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, have) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, want) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(fold(have) != fold(want));
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, hint};

    #[test]
    fn edits() {
        for (from, to, want) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("dm-verity", "dm_verity", 0),
            ("ab", "ba", 2),
        ] {
            assert_eq!((distance(from, to), distance(to, from)), (want, want));
        }
    }

    #[test]
    fn nearest_first() {
        let names = ["ahc1x", "ahci", "dm-mod", "libahci", "ahci"];
        assert_eq!(hint("ahcy", names), "; close to it: ahci, ahc1x");
        assert_eq!(hint("something", names), "");
    }
}
