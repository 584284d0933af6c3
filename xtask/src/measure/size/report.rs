//! The size report for people: plain, or as Markdown for a pull request.

use std::fmt::Write;

use super::{
    Artifact, Item, Report,
    budget::{Check, Measured, State},
    diff::{Change, What},
    table::{Style, grouped, signed, table},
};

/// Pieces that a message about an overrun lists, and a comment for each artifact.
const WORST: usize = 10;

/// What of the pieces is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The view, instead of each artifact's first.
    pub by: Option<String>,
    pub top: usize,
}

fn rows(items: &[Item]) -> Vec<Vec<String>> {
    let row = |item: &Item| vec![item.name.clone(), grouped(item.raw), grouped(item.packed)];
    items.iter().map(row).collect()
}

impl Report {
    /// The report as text.
    pub fn text(&self, style: Style, shown: &Shown) -> String {
        let mut text = String::new();
        let mut section = |title: &str, head: &[&str], rows: &[Vec<String>]| {
            let title = match style {
                Style::Plain => title.to_owned(),
                Style::Markdown => format!("### {title}\n"),
            };
            let _ = writeln!(text, "{title}\n{}", table(style, head, rows));
        };
        let has_baseline = !self.changes.is_empty();
        let change = |artifact: &Artifact| {
            self.changes
                .iter()
                .find(|change| change.artifact == artifact.name)
        };
        let mut head = vec!["", "raw", "packed", "made from"];
        if has_baseline {
            head.splice(3..3, ["Δ raw", "Δ packed"]);
        }
        let artifacts = self.artifacts.iter().map(|artifact| {
            let mut row = vec![
                artifact.name.clone(),
                grouped(artifact.raw),
                grouped(artifact.packed),
            ];
            if has_baseline {
                let (raw, packed) =
                    change(artifact).map_or((0, 0), |change| (change.raw, change.packed));
                row.extend([signed(raw), signed(packed)]);
            }
            row.push(artifact.about.clone());
            row
        });
        section("Sizes", &head, &artifacts.collect::<Vec<_>>());
        let checks = self.checks.iter().map(|check| {
            let left = check.limit.cast_signed() - check.bytes.cast_signed();
            let verdict = match check.state {
                State::Within => "",
                State::Near => "near",
                State::Over => "OVER",
            };
            vec![
                check.label(),
                grouped(check.bytes),
                grouped(check.limit),
                signed(left).trim_start_matches('+').to_owned(),
                verdict.to_owned(),
            ]
        });
        if !self.checks.is_empty() {
            section(
                "Budget",
                &["", "bytes", "limit", "left", ""],
                &checks.collect::<Vec<_>>(),
            );
        }
        for change in &self.changes {
            let rows: Vec<Vec<String>> = change.rows().take(shown.top).collect();
            match rows.as_slice() {
                [] => section(&change.title(), &[], &[]),
                rows => section(&change.title(), &["", "raw", "packed"], rows),
            }
        }
        // A comment on a change is about the change.
        if style == Style::Plain || !has_baseline {
            let all = shown.by.is_some() || self.checks.is_empty();
            let is_limited = |artifact: &&Artifact| {
                self.checks
                    .iter()
                    .any(|check| check.artifact == artifact.name)
            };
            for artifact in self
                .artifacts
                .iter()
                .filter(|artifact| all || is_limited(artifact))
            {
                let view = match &shown.by {
                    Some(by) => artifact.views.iter().find(|view| view.by == *by),
                    None => artifact.views.first(),
                };
                if let Some(view) = view {
                    let all = view.items.len();
                    let top = all.min(shown.top);
                    let of = if top < all {
                        format!(", {top} of {all}")
                    } else {
                        String::new()
                    };
                    section(
                        &format!("{} by {}{of}", artifact.name, view.by),
                        &["", "raw", "packed"],
                        &rows(&view.items[..top]),
                    );
                }
            }
        }
        text
    }

    /// The tables of README.md: what ships, and what each part of the source costs.
    pub fn for_readme(&self) -> String {
        let limit = |artifact: &Artifact, measure| {
            let mut checks = self.checks.iter();
            let of = checks.find(|check| {
                (check.artifact.as_str(), check.measure, &check.part)
                    == (artifact.name.as_str(), measure, &None)
            });
            of.map_or(String::new(), |check| grouped(check.limit))
        };
        let artifacts = self.artifacts.iter().map(|artifact| {
            vec![
                format!("`{}`: {}", artifact.name, artifact.about),
                grouped(artifact.raw),
                limit(artifact, Measured::Raw),
                grouped(artifact.packed),
                limit(artifact, Measured::Packed),
            ]
        });
        let head = ["", "bytes", "limit", "packed", "limit"];
        let mut text = table(Style::Markdown, &head, &artifacts.collect::<Vec<_>>());
        let Some(init) = self.artifact("init.x86_64") else {
            return text;
        };
        text += "\nWhat each part of the source costs in the init (packed: what it would be smaller without):\n\n";
        let parts = rows(init.view("stage")).into_iter().map(|mut row| {
            row[0] = format!("`{}`", row[0]);
            row
        });
        text + &table(
            Style::Markdown,
            &["", "bytes", "packed"],
            &parts.take(20).collect::<Vec<_>>(),
        )
    }

    /// What to say about each limit that does not hold, or hardly; empty if all do.
    pub fn problems(&self) -> String {
        let mut text = String::new();
        let (over, near): (Vec<&Check>, Vec<&Check>) = self
            .checks
            .iter()
            .filter(|check| check.state != State::Within)
            .partition(|check| check.state == State::Over);
        for check in &near {
            let _ = writeln!(
                text,
                "near its limit: {} takes {} bytes of {}; {} are left, less than {} %",
                check.label(),
                grouped(check.bytes),
                grouped(check.limit),
                grouped(check.limit - check.bytes),
                check.margin
            );
        }
        for check in &over {
            let _ = writeln!(
                text,
                "over budget: {} takes {} bytes, {} more than its limit of {} (line {} of the budget)\n  the limit: {}",
                check.label(),
                grouped(check.bytes),
                grouped(check.bytes - check.limit),
                grouped(check.limit),
                check.line,
                check.reason
            );
        }
        let mut names: Vec<&str> = over.iter().map(|check| check.artifact.as_str()).collect();
        names.dedup();
        for name in names {
            let is_packed = over
                .iter()
                .any(|check| check.artifact == name && check.measure == Measured::Packed);
            text += &self.culprits(name, is_packed);
        }
        text
    }

    /// The pieces of an artifact that grew, where a baseline tells, or those that weigh most.
    fn culprits(&self, name: &str, is_packed: bool) -> String {
        let change = self.changes.iter().find(|change| change.artifact == name);
        if let Some(change) = change.filter(|change| change.raw > 0 || change.packed > 0) {
            let grown: Vec<Vec<String>> = change.rows().take(WORST).collect();
            return format!(
                "{}\n{}",
                change.title(),
                table(Style::Plain, &["", "raw", "packed"], &grown)
            );
        }
        let finest = self.artifact(name).and_then(Artifact::finest);
        let Some(view) = finest else {
            return String::new();
        };
        let mut items = view.items.clone();
        if !is_packed {
            items.sort_by_key(|item| std::cmp::Reverse(item.raw));
        }
        items.truncate(WORST);
        let table = table(Style::Plain, &["", "raw", "packed"], &rows(&items));
        format!("what weighs most in {name}, by {}:\n{table}", view.by)
    }
}

impl Change {
    fn title(&self) -> String {
        let name = &self.artifact;
        let size = |change| match change {
            0 => "as many".to_owned(),
            change => signed(change),
        };
        let sizes = format!("{} bytes raw, {} packed", size(self.raw), size(self.packed));
        match self.what {
            What::New => format!("{name} is new: {sizes}"),
            What::Gone => format!("{name} is gone: {sizes}"),
            What::Changed if self.same_content => {
                format!(
                    "{name}: {sizes}, with the same content: the compressor or its level is another one"
                )
            }
            What::Changed => format!("{name}: {sizes} since the baseline"),
        }
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.pieces.iter().map(|piece| {
            let what = match piece.what {
                What::New => "new ",
                What::Gone => "gone ",
                What::Changed => "",
            };
            vec![
                format!("{what}{} {}", piece.by, piece.name),
                signed(piece.raw),
                signed(piece.packed),
            ]
        })
    }
}
