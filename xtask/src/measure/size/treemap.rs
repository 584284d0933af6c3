//! A report as one HTML file to look at: an area for each group, in it one for each piece, as large as what it costs.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::table::grouped;
use super::{Artifact, Item, Report};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 640.0;
/// Height of a group's title.
const TITLE: f64 = 15.0;
/// Pieces of an artifact that are shown; the others together are one.
const PIECES: usize = 1000;

const STYLE: &str = "
body { font: 14px system-ui, sans-serif; margin: 1.5em auto; width: 1200px; color: #222; }
table { border-collapse: collapse; } td, th { padding: .15em .8em; text-align: right; } td:first-child, th:first-child { text-align: left; }
tr.near td { background: #fff3c4; } tr.over td { background: #ffd0cc; } td.gap { color: #666; }
svg text { font: 11px system-ui, sans-serif; pointer-events: none; } svg .group { font-weight: 600; }
svg rect { stroke: #fff; } svg rect:hover { stroke: #222; } h2 { margin: 1.5em 0 .3em; } p { margin: .2em 0 .8em; color: #666; }
@media print { body { width: auto; } svg { width: 100%; } section { break-inside: avoid; } }
";

#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The page; it needs nothing besides itself.
pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sizes</title><style>{STYLE}</style></head><body>\n<h1>Sizes</h1>\n"
    );
    page += "<table><tr><th></th><th>bytes</th><th>limit</th></tr>\n";
    for check in &report.checks {
        let class = format!("{:?}", check.state).to_lowercase();
        let _ = writeln!(
            page,
            "<tr class=\"{class}\" title=\"{}\"><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&check.reason),
            escaped(&check.label()),
            grouped(check.bytes),
            grouped(check.limit)
        );
    }
    page += "</table>\n";
    for artifact in &report.artifacts {
        let _ = writeln!(
            page,
            "<section><h2>{}</h2><p>{} bytes, {} packed: {}. Areas are what each {} costs packed; point at one to see it.</p>",
            escaped(&artifact.name),
            grouped(artifact.raw),
            grouped(artifact.packed),
            escaped(&artifact.about),
            artifact.finest().map_or("piece", |view| &view.by)
        );
        draw(&mut page, artifact);
        page += "</section>\n";
    }
    page + "</body></html>\n"
}

fn draw(page: &mut String, artifact: &Artifact) {
    let Some(view) = artifact.finest() else {
        return;
    };
    let mut groups: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for item in view.items.iter().take(PIECES) {
        groups.entry(&item.group).or_default().push(item.clone());
    }
    let others = view.items.get(PIECES..).unwrap_or_default();
    if !others.is_empty() {
        let sum = |size: fn(&Item) -> u64| others.iter().map(size).sum();
        groups.entry("others").or_default().push(Item {
            name: format!("{} smaller ones", others.len()),
            group: String::new(),
            raw: sum(|item| item.raw),
            packed: sum(|item| item.packed),
        });
    }
    let cost = |item: &Item| item.packed as f64;
    let mut groups: Vec<(&str, Vec<Item>, f64)> = groups
        .into_iter()
        .map(|(name, items)| (name, items.iter().map(cost).sum::<f64>(), items))
        .map(|(name, sum, items)| (name, items, sum))
        .filter(|(.., sum)| *sum > 0.0)
        .collect();
    groups.sort_by(|one, other| other.2.total_cmp(&one.2));
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\">"
    );
    let whole = Area {
        x: 0.0,
        y: 0.0,
        width: WIDTH,
        height: HEIGHT,
    };
    let sums: Vec<f64> = groups.iter().map(|(.., sum)| *sum).collect();
    for (number, ((name, items, sum), area)) in
        groups.iter().zip(squarified(&sums, whole)).enumerate()
    {
        let hue = number * 47 % 360;
        let has_title = !name.is_empty() && area.height > 2.0 * TITLE && area.width > 30.0;
        let inside = Area {
            y: area.y + if has_title { TITLE } else { 0.0 },
            height: area.height - if has_title { TITLE } else { 0.0 },
            ..area
        };
        if has_title {
            rectangle(
                page,
                area,
                &format!("hsl({hue} 45% 80%)"),
                &format!("{name}: {} packed", grouped(*sum as u64)),
            );
            label(page, area, name, "group");
        }
        let costs: Vec<f64> = items.iter().map(cost).filter(|cost| *cost > 0.0).collect();
        for (item, area) in items.iter().zip(squarified(&costs, inside)) {
            let title = format!(
                "{}\n{} bytes, {} packed",
                item.name,
                grouped(item.raw),
                grouped(item.packed)
            );
            rectangle(page, area, &format!("hsl({hue} 55% 88%)"), &title);
            if area.height > 13.0 {
                label(page, area, last(&item.name), "piece");
            }
        }
    }
    page.push_str("</svg>\n");
}

/// What tells a path from its neighbours.
fn last(path: &str) -> &str {
    let named = path.trim_end_matches("::{{closure}}");
    let start = named.rfind(['/', ':']).map_or(0, |at| at + 1);
    &path[start..]
}

fn rectangle(page: &mut String, area: Area, color: &str, title: &str) {
    let Area {
        x,
        y,
        width,
        height,
    } = area;
    let _ = writeln!(
        page,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"><title>{}</title></rect>",
        escaped(title)
    );
}

/// A name, as much of it as there is room for.
fn label(page: &mut String, area: Area, name: &str, class: &str) {
    let room = ((area.width - 6.0) / 6.2).max(0.0) as usize;
    let length = name.chars().count();
    if room < 3 {
        return;
    }
    let shown: String = match length <= room {
        true => name.to_owned(),
        // What tells folders apart stands at the end of their paths, what tells functions apart at the beginning of their names.
        false if class == "group" => ['…']
            .into_iter()
            .chain(name.chars().skip(length - room + 1))
            .collect(),
        false => name.chars().take(room - 1).chain(['…']).collect(),
    };
    let _ = writeln!(
        page,
        "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        area.x + 3.0,
        area.y + 11.5,
        escaped(&shown)
    );
}

fn escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// An area for each of the values (descending, more than 0), in proportion to it and as near to a square as a simple rule gets: rows along
/// the shorter side, each with as many as make its worst one better. (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000.)
fn squarified(values: &[f64], within: Area) -> Vec<Area> {
    let mut areas = Vec::new();
    let (mut rest, mut left) = (values, within);
    while !rest.is_empty() {
        let scale = left.width * left.height / rest.iter().sum::<f64>();
        let side = left.width.min(left.height);
        let worst = |count: usize| {
            let row = &rest[..count];
            let depth = row.iter().sum::<f64>() * scale / side;
            let ratio = |value: &f64| {
                let length = value * scale / depth;
                (length / depth).max(depth / length)
            };
            row.iter().map(ratio).fold(0.0, f64::max)
        };
        let count = (1..rest.len())
            .find(|count| worst(count + 1) > worst(*count))
            .unwrap_or(rest.len());
        let (row, others) = rest.split_at(count);
        let depth = row.iter().sum::<f64>() * scale / side;
        let mut along = 0.0;
        for value in row {
            let length = value * scale / depth;
            areas.push(match left.width >= left.height {
                true => Area {
                    x: left.x,
                    y: left.y + along,
                    width: depth,
                    height: length,
                },
                false => Area {
                    x: left.x + along,
                    y: left.y,
                    width: length,
                    height: depth,
                },
            });
            along += length;
        }
        left = match left.width >= left.height {
            true => Area {
                x: left.x + depth,
                width: left.width - depth,
                ..left
            },
            false => Area {
                y: left.y + depth,
                height: left.height - depth,
                ..left
            },
        };
        rest = others;
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (path, want) in [
            ("init::report::tell::{{closure}}", "tell::{{closure}}"),
            ("modules/kernel/fs/a.ko", "a.ko"),
            ("init", "init"),
        ] {
            assert_eq!(last(path), want);
        }
    }

    #[test]
    fn areas_are_as_large_as_the_values_and_within() {
        let values = [60.0, 60.0, 40.0, 30.0, 20.0, 20.0, 10.0];
        let within = Area {
            x: 10.0,
            y: 20.0,
            width: 600.0,
            height: 400.0,
        };
        let areas = squarified(&values, within);
        assert_eq!(areas.len(), values.len());
        for (area, value) in areas.iter().zip(values) {
            assert!((area.width * area.height - value * 1000.0).abs() < 0.1);
            assert!(area.x >= 9.9 && area.x + area.width <= 610.1);
            assert!(area.y >= 19.9 && area.y + area.height <= 420.1);
            assert!(area.width / area.height < 4.0 && area.height / area.width < 4.0);
        }
        for (number, one) in areas.iter().enumerate() {
            for other in &areas[number + 1..] {
                let beside =
                    one.x + one.width <= other.x + 0.1 || other.x + other.width <= one.x + 0.1;
                let above =
                    one.y + one.height <= other.y + 0.1 || other.y + other.height <= one.y + 0.1;
                assert!(beside || above);
            }
        }
        assert!(squarified(&[], within).is_empty());
    }
}
