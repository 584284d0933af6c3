//! Tables for people, plain or as Markdown, and numbers in them.

/// How tables look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Markdown,
}

/// A number with its thousands set off: `28,744`.
pub fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table; numbers stand at the right.
pub fn table(style: Style, head: &[&str], rows: &[Vec<String>]) -> String {
    if head.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_text = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str());
        column == 0
            || cells.any(|cell| cell.contains(|letter: char| !"0123456789,+-".contains(letter)))
    };
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match is_text(column) {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            })
            .collect();
        match style {
            Style::Plain => format!("  {}\n", cells.join("  ").trim_end()),
            Style::Markdown => format!("| {} |\n", cells.join(" | ")),
        }
    };
    let mut text = line(head.to_vec());
    if style == Style::Markdown {
        let rule = widths
            .iter()
            .enumerate()
            .map(|(column, width)| match is_text(column) {
                true => "-".repeat((*width).max(3)),
                false => format!("{}:", "-".repeat(width.saturating_sub(1).max(2))),
            });
        text += &line(
            rule.collect::<Vec<_>>()
                .iter()
                .map(String::as_str)
                .collect(),
        );
    }
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// A change with its sign: `+1,234`, `-5`, and nothing for none.
pub fn signed(change: i64) -> String {
    let sign = if change < 0 { "-" } else { "+" };
    match change {
        0 => String::new(),
        change => format!("{sign}{}", grouped(change.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Style, grouped, signed, table};

    #[test]
    fn thousands() {
        for (number, want) in [
            (0u64, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), want);
        }
        assert_eq!([-1234, 0, 5].map(signed), ["-1,234", "", "+5"]);
    }

    #[test]
    fn tables() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["bc".to_owned(), "23".to_owned()],
        ];
        assert_eq!(
            table(Style::Plain, &["", "n"], &rows),
            "       n\n  a    1\n  bc  23\n"
        );
        assert_eq!(
            table(Style::Markdown, &["", "n"], &rows),
            "|    |  n |\n| --- | --: |\n| a  |  1 |\n| bc | 23 |\n"
        );
    }
}
