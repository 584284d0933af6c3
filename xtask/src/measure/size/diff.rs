//! What changed since a baseline: artifacts, and the pieces of them that came, went, grew or shrank.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Artifact, Item, Report};

/// An artifact that is not what it was. Sizes are in bytes, less than 0 where it became smaller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub artifact: String,
    pub what: What,
    pub raw: i64,
    pub packed: i64,
    /// It has the same content as before and takes more or less when it is packed: the compressor or its settings are others.
    pub same_content: bool,
    /// Those that changed most first.
    pub pieces: Vec<Piece>,
}

/// A piece of an artifact that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// As [`View::by`](super::View::by).
    pub by: String,
    pub name: String,
    pub what: What,
    pub raw: i64,
    /// The change of its marginal cost. That of a piece that stayed as it is can change a little, too: such ones are left out.
    pub packed: i64,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum What {
    New,
    Gone,
    Changed,
}

/// What `now` has that `before` had not, and the other way round.
pub fn changes(before: &Report, now: &Report) -> Vec<Change> {
    let names = before.artifacts.iter().chain(&now.artifacts);
    let mut names: Vec<&str> = names.map(|artifact| artifact.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let both = names
        .into_iter()
        .map(|name| (before.artifact(name), now.artifact(name)));
    both.filter_map(|(before, now)| change(before, now))
        .collect()
}

fn change(before: Option<&Artifact>, now: Option<&Artifact>) -> Option<Change> {
    let whole = |artifact: Option<&Artifact>| {
        artifact.map(|artifact| Item {
            name: artifact.name.clone(),
            group: String::new(),
            raw: artifact.raw,
            packed: artifact.packed,
        })
    };
    let (what, raw, packed) = compare(whole(before).as_ref(), whole(now).as_ref());
    let same_content =
        before.map(|artifact| &artifact.content) == now.map(|artifact| &artifact.content);
    if same_content && packed == 0 {
        return None;
    }
    let mut pieces = Vec::new();
    if let (Some(before), Some(now)) = (before, now) {
        for view in &now.views {
            let mut both: BTreeMap<&str, [Option<&Item>; 2]> = BTreeMap::new();
            for (place, items) in [before.view(&view.by), &view.items].into_iter().enumerate() {
                for item in items {
                    both.entry(&item.name).or_default()[place] = Some(item);
                }
            }
            for (name, [before, now]) in both {
                let (what, raw, packed) = compare(before, now);
                if what != What::Changed || raw != 0 {
                    pieces.push(Piece {
                        by: view.by.clone(),
                        name: name.to_owned(),
                        what,
                        raw,
                        packed,
                    });
                }
            }
        }
        pieces.sort_by_key(|piece| std::cmp::Reverse((piece.packed.abs(), piece.raw.abs())));
    }
    let name = before.or(now).map(|artifact| artifact.name.clone())?;
    Some(Change {
        artifact: name,
        what,
        raw,
        packed,
        same_content,
        pieces,
    })
}

fn compare(before: Option<&Item>, now: Option<&Item>) -> (What, i64, i64) {
    let sizes = |item: Option<&Item>| {
        let (raw, packed) = item.map_or((0, 0), Item::sizes);
        (raw.cast_signed(), packed.cast_signed())
    };
    let ((raw, packed), (raw_now, packed_now)) = (sizes(before), sizes(now));
    let what = match (before, now) {
        (None, _) => What::New,
        (_, None) => What::Gone,
        _ => What::Changed,
    };
    (what, raw_now - raw, packed_now - packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::size::View;

    fn artifact(name: &str, content: &str, packed: u64, items: &[(&str, u64, u64)]) -> Artifact {
        let item = |(name, raw, packed): &(&str, u64, u64)| Item {
            name: (*name).to_owned(),
            group: String::new(),
            raw: *raw,
            packed: *packed,
        };
        Artifact {
            name: name.to_owned(),
            about: String::new(),
            raw: 100,
            packed,
            content: content.to_owned(),
            parts: Vec::new(),
            views: vec![View {
                by: "symbol".to_owned(),
                items: items.iter().map(item).collect(),
            }],
        }
    }

    #[test]
    fn came_went_and_changed() {
        let report = |artifacts| Report::new(artifacts, Vec::new());
        let before = report(vec![
            artifact(
                "a",
                "1",
                50,
                &[("same", 9, 9), ("grown", 10, 5), ("gone", 4, 3)],
            ),
            artifact("b", "1", 50, &[]),
            artifact("c", "1", 50, &[]),
            artifact("e", "1", 50, &[("x", 1, 1)]),
        ]);
        let now = report(vec![
            artifact(
                "a",
                "2",
                60,
                &[("same", 9, 8), ("grown", 30, 12), ("new", 2, 1)],
            ),
            artifact("b", "1", 55, &[]),
            artifact("d", "1", 50, &[]),
            artifact("e", "1", 50, &[("x", 1, 1)]),
        ]);
        let changes = changes(&before, &now);
        let whole: Vec<_> = changes
            .iter()
            .map(|change| {
                (
                    change.artifact.as_str(),
                    change.what,
                    change.packed,
                    change.same_content,
                )
            })
            .collect();
        let want = [
            ("a", What::Changed, 10, false),
            ("b", What::Changed, 5, true),
            ("c", What::Gone, -50, false),
            ("d", What::New, 50, false),
        ];
        assert_eq!(whole, want);
        let pieces: Vec<_> = changes[0]
            .pieces
            .iter()
            .map(|piece| (piece.name.as_str(), piece.what, piece.raw, piece.packed))
            .collect();
        let want = [
            ("grown", What::Changed, 20, 7),
            ("gone", What::Gone, -4, -3),
            ("new", What::New, 2, 1),
        ];
        assert_eq!(pieces, want);
    }
}
