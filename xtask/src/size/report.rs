//! The size report, for people (plain or as Markdown) and for programs (JSON).

use std::fmt::Write;

use serde::Serialize;

use super::{Init, Initrd, Part, Weight, budget::Check};

/// Symbols that a report lists.
const SYMBOLS: usize = 20;
/// Symbols that a message about an overrun lists.
const WORST: usize = 10;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub init: Init,
    /// The same init for the other architecture, with the same limits.
    pub aarch64: Init,
    /// What the init weighs with cargo features, by their names: each alone, and all.
    pub with: Vec<Weight>,
    pub initrds: Vec<Initrd>,
    pub checks: Vec<Check>,
}

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

/// A table whose first column is text and whose others are numbers.
fn table(style: Style, head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
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
            .map(|(column, width)| match column {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
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

fn weights<'a>(weights: impl IntoIterator<Item = &'a Weight>) -> Vec<Vec<String>> {
    let row = |weight: &Weight| {
        vec![
            weight.name.clone(),
            grouped(weight.raw),
            grouped(weight.zstd),
        ]
    };
    weights.into_iter().map(row).collect()
}

fn parts<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Vec<Vec<String>> {
    let row = |part: &Part| vec![part.name.clone(), grouped(part.bytes), grouped(part.memory)];
    parts.into_iter().map(row).collect()
}

fn bytes<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Vec<Vec<String>> {
    parts
        .into_iter()
        .map(|part| vec![part.name.clone(), grouped(part.bytes)])
        .collect()
}

impl Report {
    /// The report as text.
    pub fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let mut section = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
            let title = match style {
                Style::Plain => title.to_owned(),
                Style::Markdown => format!("### {title}\n"),
            };
            let _ = writeln!(text, "{title}\n{}", table(style, head, &rows));
        };
        let init = &self.init;
        section(
            "init",
            &["", "bytes", "zstd -19"],
            weights([&init.total, &self.aarch64.total]),
        );
        let more = |with: usize, total: usize| format!("+{}", grouped(with.saturating_sub(total)));
        let rows = self.with.iter().map(|with| {
            vec![
                with.name.clone(),
                grouped(with.raw),
                more(with.raw, init.total.raw),
                grouped(with.zstd),
                more(with.zstd, init.total.zstd),
            ]
        });
        section(
            "init with cargo features",
            &["", "bytes", "", "zstd -19", ""],
            rows.collect(),
        );
        section(
            "init by segment and section",
            &["", "in the file", "in memory"],
            parts(init.segments.iter().chain(&init.sections)),
        );
        section(
            "largest symbols of the init",
            &["", "bytes"],
            bytes(init.symbols.iter().take(SYMBOLS)),
        );
        for initrd in &self.initrds {
            let mut rows = weights([&initrd.userland]);
            rows.extend(weights(&initrd.files).into_iter().map(|mut row| {
                row[0] = format!("  /{}", row[0]);
                row
            }));
            rows.push(vec![
                format!("{} modules", initrd.modules),
                grouped(initrd.module_bytes),
                String::new(),
            ]);
            rows.extend(weights(&initrd.whole));
            section(
                &format!("{} initrd, kernel {}", initrd.profile, initrd.release),
                &["", "bytes", "zstd -19"],
                rows,
            );
            section(
                &format!("largest modules of the {} initrd", initrd.profile),
                &["", "bytes"],
                bytes(&initrd.largest_modules),
            );
        }
        let rows = self.checks.iter().map(|check| {
            let verdict = match check.excess() {
                Some(excess) => format!("{} over", grouped(excess)),
                None => format!("{} left", grouped(check.limit - check.bytes)),
            };
            vec![
                format!("{}, {}", check.artifact, check.measure),
                grouped(check.bytes),
                grouped(check.limit),
                verdict,
            ]
        });
        section("budget", &["", "bytes", "limit", ""], rows.collect());
        text
    }

    /// What to say about each limit that does not hold; empty if all do.
    pub fn overruns(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            if let Some(excess) = check.excess() {
                let _ = writeln!(
                    text,
                    "over budget: {} ({}) takes {} bytes, {} more than its limit of {}\n  the limit: {}",
                    check.artifact,
                    check.measure,
                    grouped(check.bytes),
                    grouped(excess),
                    grouped(check.limit),
                    check.reason
                );
            }
        }
        // Where another artifact is too large, those of the init that ships with it.
        let is_over = |init: &&Init| {
            let mut checks = self.checks.iter();
            checks.any(|check| check.artifact == init.total.name && check.excess().is_some())
        };
        if !text.is_empty() {
            let init = [&self.init, &self.aarch64]
                .into_iter()
                .find(is_over)
                .unwrap_or(&self.init);
            let rows = bytes(init.symbols.iter().take(WORST));
            let _ = write!(
                text,
                "the symbols of the {} that weigh most:\n{}",
                init.total.name,
                table(Style::Plain, &["", "bytes"], &rows)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Style, grouped, table};

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
            "|    |  n |\n| -- | -: |\n| a  |  1 |\n| bc | 23 |\n"
        );
    }
}
