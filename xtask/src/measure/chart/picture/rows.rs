//! The rows below the stages: the critical path, the calls of PID 1 by their kind, and a row for each child.

use std::collections::BTreeMap;

use super::{BAR, Drawing, LEFT, RIGHT, ROW, class, times, width};
use crate::measure::chart::boot::Process;
use crate::measure::chart::path::{Kind, Segment, What};
use crate::measure::chart::record::Traced;
use crate::measure::chart::{counted, milliseconds};

impl Drawing<'_> {
    fn row(&mut self, name: &str) {
        self.svg.text("right", LEFT - 8.0, self.y + BAR - 2.0, name);
    }

    /// What the boot spent its time with, and PID 1's calls by their kind.
    pub(super) fn own_rows(&mut self) {
        let boot = self.boot;
        if boot.path.is_empty() {
            return;
        }
        const HEIGHT: f64 = 22.0;
        self.svg
            .text("right head", LEFT - 8.0, self.y + 15.0, "critical path");
        for Segment {
            span,
            what,
            message,
        } in &boot.path
        {
            let (class, verb) = match what {
                What::Call(kind) => (class(*kind), "doing"),
                _ => ("awaited", "waiting for"),
            };
            let name = boot.name(what);
            let message = message.as_deref().map(|message| format!("\n{message}"));
            let title = format!(
                "{verb}: {name}\n{}{}",
                times(span),
                message.unwrap_or_default()
            );
            let (left, right) = self.axis.bar(span);
            self.svg
                .bar(class, (left, right), (self.y, HEIGHT), Some(&title));
        }
        for Segment { span, what, .. } in &boot.path {
            let (left, right) = self.axis.bar(span);
            let name = boot.name(what);
            if width(&name) + 6.0 < right - left && !matches!(what, What::Call(Kind::Other)) {
                let class = if matches!(what, What::Call(_)) {
                    "inside"
                } else {
                    "middle over"
                };
                self.svg
                    .text(class, (left + right) / 2.0, self.y + 15.0, &name);
            }
        }
        self.y += HEIGHT + 6.0;
        let calls = boot.own_calls();
        for kind in [
            Kind::Mount,
            Kind::Mapper,
            Kind::Disk,
            Kind::Other,
            Kind::Wait,
        ] {
            let of: Vec<&Traced> = calls
                .iter()
                .filter(|(_, of)| *of == kind)
                .map(|(traced, _)| *traced)
                .collect();
            if of.is_empty() {
                continue;
            }
            self.row(if kind == Kind::Other {
                "other calls"
            } else {
                kind.name()
            });
            self.calls(class(kind), &of);
            self.y += ROW;
        }
        self.y += 6.0;
    }

    /// A row of calls: one bar each, but one for many that are closer together than can be seen.
    fn calls(&mut self, class: &str, calls: &[&Traced]) {
        const APART: f64 = 0.7;
        let mut rest = calls;
        while let Some((first, others)) = rest.split_first() {
            let mut to = first.to;
            let seen = self.axis.at(first.to) - self.axis.at(first.from) >= APART;
            let more = others.iter().take_while(|next| {
                let short = self.axis.at(next.to) - self.axis.at(next.from) < APART;
                let near = self.axis.at(next.from) - self.axis.at(to) < APART;
                let joins = !seen && short && near;
                if joins {
                    to = next.to;
                }
                joins
            });
            let (run, after) = rest.split_at(more.count() + 1);
            rest = after;
            let span = first.from..to;
            let title = match run {
                [only] => format!("{}\n{}", only.call.text(), times(&span)),
                run => format!("{}\n{}", list(run), times(&span)),
            };
            let bar = self.axis.bar(&span);
            self.svg.bar(class, bar, (self.y, BAR), Some(&title));
        }
    }

    /// A row for each child.
    pub(super) fn process_rows(&mut self) {
        let boot = self.boot;
        for (place, process) in boot.processes.iter().enumerate() {
            if place == 0 {
                self.svg
                    .text("right head", LEFT - 8.0, self.y + BAR - 2.0, "modules");
            }
            self.process(process);
            self.y += ROW;
        }
    }

    fn process(&mut self, process: &Process) {
        let mut title = format!(
            "{}\n{}\nprocess {}",
            process.name,
            times(&process.span),
            process.pid
        );
        let calls = self.boot.calls.iter();
        for traced in calls
            .filter(|traced| traced.call.pid == process.pid)
            .take(12)
        {
            let took = milliseconds(traced.to - traced.from);
            title += &format!("\n{}  {took}", traced.call.text());
        }
        let bar = self.axis.bar(&process.span);
        self.svg.bar("process", bar, (self.y, BAR), Some(&title));
        if let Some((load, _)) = &process.load {
            self.svg
                .bar("init", self.axis.bar(load), (self.y, BAR), Some(&title));
        }
        if let Some(unpacking) = &process.unpacking {
            let bar = self.axis.bar(&unpacking.span);
            self.svg.bar("unpack", bar, (self.y, BAR), Some(&title));
        }
        for span in &process.awaited {
            let title = format!(
                "the boot waited for {}\n{}\n\n{title}",
                process.name,
                times(span)
            );
            self.svg
                .bar("awaited", self.axis.bar(span), (self.y, BAR), Some(&title));
        }
        let label = process.label();
        let class = match process.error() {
            None => "over",
            Some(_) => "over failure",
        };
        let y = self.y + BAR - 2.0;
        if bar.1 + 4.0 + width(&label) < RIGHT {
            self.svg.text(class, bar.1 + 4.0, y, &label);
        } else {
            self.svg
                .text(&format!("right {class}"), bar.0 - 4.0, y, &label);
        }
    }
}

/// Many calls in short: how many of each name, most first.
fn list(calls: &[&Traced]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for traced in calls {
        *counts.entry(traced.call.name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} ×{count}"))
        .collect();
    format!(
        "{}: {}",
        counted(calls.len(), "call", "calls"),
        names.join(", ")
    )
}
