//! The drawing: one time axis for the stages, for what PID 1 did and waited for, and for each process; then the sums.

use std::collections::BTreeMap;
use std::ops::Range;

use super::boot::{Boot, Kind, Process, Segment, Stage, State, What};
use super::record::Traced;
use super::svg::Svg;
use super::{counted, milliseconds};

/// Lengths in pixels.
const WIDTH: f64 = 1120.0;
/// Where the time axis begins and ends; to its left are the names of rows.
const LEFT: f64 = 128.0;
const RIGHT: f64 = WIDTH - 24.0;
const ROW: f64 = 16.0;
const BAR: f64 = 12.0;
/// A letter's width, on average, at the size of labels; a generous guess, as fonts differ.
const LETTER: f64 = 6.4;

/// How many sums are listed.
const SUMS: usize = 10;

/// Colours differ in lightness too, and what the boot waited for is hatched: it reads in black and white.
const STYLE: &str = r##"<style>
  text { font: 11px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #111 }
  .big { font-size: 18px; font-weight: bold } .small { font-size: 10px; fill: #444 } .head { font-weight: bold }
  .right { text-anchor: end } .middle { text-anchor: middle } .inside { text-anchor: middle; fill: #fff }
  .over { stroke: #fff; stroke-width: 3px; paint-order: stroke; stroke-linejoin: round }
  .failure { fill: #b00020; font-weight: bold }
  .paper { fill: #fff } .grid { stroke: #d8d8d8; stroke-width: 1 } .edge { stroke: #888; stroke-width: 1; stroke-dasharray: 2 3 }
  .lead { stroke: #666; stroke-width: 1 } .end { stroke: #b00020; stroke-width: 1.5 }
  .stage0 { fill: #e4e8ec } .stage1 { fill: #cdd4db } .broken { fill: #f2b8b5 }
  .process { fill: #d5d9dd } .init { fill: #8ba6c1 } .awaited { fill: url(#hatch) }
  .mount { fill: #2f6f4f } .mapper { fill: #7a3e9d } .disk { fill: #1666b0 } .other { fill: #3c4650 } .wait { fill: #c9ced3 }
</style>
<defs>
  <pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
    <rect width="5" height="5" fill="#e8590c"/><rect width="1.6" height="5" fill="#ffc9a3"/>
  </pattern>
</defs>"##;

/// Where a moment is, in pixels.
struct Axis {
    end: u64,
    /// From one mark to the next, microseconds.
    step: u64,
}

impl Axis {
    fn new(end: u64) -> Self {
        let sizes = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)));
        let step = sizes
            .into_iter()
            .find(|step| end / step <= 12)
            .unwrap_or(end);
        Self { end, step }
    }

    fn at(&self, time: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * time as f64 / self.end.max(1) as f64
    }

    /// Left and right of a bar that can be seen.
    fn bar(&self, span: &Range<u64>) -> (f64, f64) {
        let (left, right) = (self.at(span.start), self.at(span.end));
        (left, right.max(left + 0.7))
    }
}

struct Drawing<'b> {
    boot: &'b Boot<'b>,
    axis: Axis,
    svg: Svg,
    /// Where the next row begins.
    y: f64,
}

/// Draws a boot: an SVG without scripts or anything from elsewhere, on white.
pub fn draw(boot: &Boot) -> String {
    let mut drawing = Drawing {
        boot,
        axis: Axis::new(boot.end),
        svg: Svg::default(),
        y: 26.0,
    };
    drawing.whole()
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Mount => "mount",
        Kind::Mapper => "mapper",
        Kind::Disk => "disk",
        Kind::Other => "other",
        Kind::Wait => "wait",
    }
}

/// When, and how long.
fn times(span: &Range<u64>) -> String {
    let length = milliseconds(span.end - span.start);
    format!("{length}, from {}", milliseconds(span.start))
}

fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

impl Drawing<'_> {
    fn whole(&mut self) -> String {
        let title = self.title();
        self.stage_row();
        let top = self.y;
        // What is drawn over the grid has to come after it, and how long the grid is only shows then.
        let head = std::mem::take(&mut self.svg);
        self.marks(top - 2.0);
        self.y += 14.0;
        self.own_rows();
        self.process_rows();
        let bottom = self.y + 4.0;
        let rows = std::mem::take(&mut self.svg);
        self.grid(top, bottom);
        let grid = std::mem::replace(&mut self.svg, head);
        self.svg.append(grid);
        self.svg.append(rows);
        self.marks(bottom + 12.0);
        self.y = bottom + 36.0;
        self.sums();
        let mut whole = Svg::default();
        whole.raw(STYLE);
        whole.bar("paper", (0.0, WIDTH), (0.0, self.y), None);
        whole.append(std::mem::take(&mut self.svg));
        whole.finish(WIDTH, self.y, &title)
    }

    fn title(&mut self) -> String {
        let boot = self.boot;
        let end = milliseconds(boot.end);
        let title = match (&boot.failed, &boot.stage2) {
            (Some((_, at)), _) => format!("Boot failed after {}", milliseconds(*at)),
            (None, Some((program, _))) => format!("{end} to stage 2, {program}"),
            (None, None) => format!("The first {end} of a boot"),
        };
        self.svg.text("big", 16.0, self.y, &title);
        self.y += 18.0;
        let loads = boot
            .processes
            .iter()
            .filter(|process| process.load.is_some());
        let mut facts: Vec<String> = Vec::new();
        facts.extend(boot.release.map(|release| format!("Linux {release}")));
        if boot.calls.is_empty() {
            facts.push(
                "stages only: rd.earlytrace on the kernel command line shows the rest".into(),
            );
        } else {
            facts.push(counted(loads.count(), "module load", "module loads"));
            facts.push(counted(boot.calls.len(), "system call", "system calls"));
        }
        if let Some((line, error)) = boot.unread.first() {
            let lines = counted(boot.unread.len(), "line", "lines");
            facts.push(format!(
                "{lines} of the trace not understood, first {line}: {error}"
            ));
        }
        self.svg.text("small", 16.0, self.y, &facts.join("  ·  "));
        if let Some((failed, _)) = &boot.failed {
            self.y += 18.0;
            self.svg
                .text("failure", 16.0, self.y, &format!("FAILED {failed}"));
        }
        self.y += 12.0;
        title
    }

    /// Stages side by side; the names of short ones stand above, each on the lowest line that is free there.
    fn stage_row(&mut self) {
        const HEIGHT: f64 = 20.0;
        let boot = self.boot;
        let mut ends = [0.0f64; 5];
        let mut above: Vec<(usize, f64, String)> = Vec::new();
        let label = |stage: &Stage| {
            let length = milliseconds(stage.span.end - stage.span.start);
            format!("{} {length}", stage.name)
        };
        let fits = |stage: &Stage, axis: &Axis| {
            let (left, right) = axis.bar(&stage.span);
            width(&label(stage)) + 4.0 < right - left
        };
        for stage in boot.stages.iter().filter(|stage| !fits(stage, &self.axis)) {
            let text = label(stage);
            let (left, right) = self.axis.bar(&stage.span);
            let x = ((left + right) / 2.0).min(RIGHT - width(&text) + 20.0);
            let tier = ends.iter().position(|end| *end < x).unwrap_or(0);
            ends[tier] = x + width(&text) + 8.0;
            above.push((tier, x, text));
        }
        let tiers = above.iter().map(|(tier, ..)| tier + 1).max().unwrap_or(0);
        let top = self.y + tiers as f64 * 14.0;
        for (tier, x, _) in &above {
            let y = top - 5.0 - *tier as f64 * 14.0;
            self.svg.line("lead", (*x, y - 7.0), (*x, top));
        }
        for (tier, x, text) in above {
            let y = top - 5.0 - tier as f64 * 14.0;
            self.svg.text("over", x + 3.0, y, &text);
        }
        self.svg
            .text("right head", LEFT - 8.0, top + 14.0, "stages");
        for (place, stage) in boot.stages.iter().enumerate() {
            let class = match (stage.state, place % 2) {
                (State::Failed, _) => "broken",
                (_, 0) => "stage0",
                _ => "stage1",
            };
            let (left, right) = self.axis.bar(&stage.span);
            let title = format!("{}\n{}", stage.name, times(&stage.span));
            self.svg
                .bar(class, (left, right), (top, HEIGHT), Some(&title));
            if fits(stage, &self.axis) {
                self.svg
                    .text("middle", (left + right) / 2.0, top + 14.0, &label(stage));
            }
        }
        self.y = top + HEIGHT + 14.0;
    }

    /// The times along the axis, with their base line at `y`.
    fn marks(&mut self, y: f64) {
        for time in self.axis_marks() {
            let milliseconds = super::grouped(time / 1000);
            let text = match time {
                0 => "0 ms".to_owned(),
                _ if self.axis.step < 1000 => milliseconds_exactly(time),
                _ => milliseconds,
            };
            self.svg.text("small middle", self.axis.at(time), y, &text);
        }
    }

    fn axis_marks(&self) -> Vec<u64> {
        let count = self.axis.end / self.axis.step.max(1);
        (0..=count).map(|mark| mark * self.axis.step).collect()
    }

    fn grid(&mut self, top: f64, bottom: f64) {
        for time in self.axis_marks() {
            let x = self.axis.at(time);
            self.svg.line("grid", (x, top + 2.0), (x, bottom));
        }
        for stage in &self.boot.stages {
            let x = self.axis.at(stage.span.end);
            let class = if stage.state == State::Failed {
                "end"
            } else {
                "edge"
            };
            self.svg.line(class, (x, top - 14.0), (x, bottom));
        }
    }

    fn row(&mut self, name: &str) {
        self.svg.text("right", LEFT - 8.0, self.y + BAR - 2.0, name);
    }

    /// What the boot spent its time with, and PID 1's calls by their kind.
    fn own_rows(&mut self) {
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
    fn process_rows(&mut self) {
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
        let length = milliseconds(process.span.end - process.span.start);
        let error = process
            .load
            .as_ref()
            .and_then(|(_, error)| error.as_deref());
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
        for span in &process.awaited {
            let title = format!(
                "the boot waited for {}\n{}\n\n{title}",
                process.name,
                times(span)
            );
            self.svg
                .bar("awaited", self.axis.bar(span), (self.y, BAR), Some(&title));
        }
        let error = error.map(|error| format!(", {error}")).unwrap_or_default();
        let label = format!("{} {length}{error}", process.name);
        let class = if error.is_empty() {
            "over"
        } else {
            "over failure"
        };
        let y = self.y + BAR - 2.0;
        if bar.1 + 4.0 + width(&label) < RIGHT {
            self.svg.text(class, bar.1 + 4.0, y, &label);
        } else {
            self.svg
                .text(&format!("right {class}"), bar.0 - 4.0, y, &label);
        }
    }

    /// What took how much of the boot, and what the colours mean.
    fn sums(&mut self) {
        const NAME: f64 = 170.0;
        const LENGTH: f64 = 300.0;
        const LEGEND: f64 = 740.0;
        let boot = self.boot;
        let totals = boot.totals();
        let top = self.y;
        if let Some((_, most)) = totals.first() {
            self.svg
                .text("head", 16.0, self.y, "What the boot spent its time with");
            let (shown, rest) = totals.split_at(totals.len().min(SUMS));
            let mut rows: Vec<(&str, String, u64)> = shown
                .iter()
                .map(|(what, micros)| match what {
                    What::Call(kind) => (class(*kind), boot.name(what), *micros),
                    _ => ("awaited", boot.name(what), *micros),
                })
                .collect();
            let others: u64 = rest.iter().map(|(_, micros)| micros).sum();
            if !rest.is_empty() {
                rows.push(("awaited", format!("{} more", rest.len()), others));
            }
            for (class, name, micros) in rows {
                self.y += ROW;
                let y = self.y + BAR - 8.0;
                let right =
                    NAME + 12.0 + LENGTH * micros as f64 / (*most).max(others).max(1) as f64;
                self.svg.text("right", NAME, y, &name);
                self.svg
                    .bar(class, (NAME + 12.0, right), (self.y - 6.0, BAR), None);
                let part = 100.0 * micros as f64 / boot.end as f64;
                let text = format!("{}, {part:.1} %", milliseconds(micros));
                self.svg.text("", right + 6.0, y, &text);
            }
        }
        let bottom = self.y;
        self.y = top;
        self.legend(LEGEND, !boot.path.is_empty());
        self.y = self.y.max(bottom) + 20.0;
    }

    fn legend(&mut self, x: f64, traced: bool) {
        if !traced {
            return;
        }
        self.svg.text("head", x, self.y, "Colours");
        for (class, text) in [
            ("awaited", "the boot waited for this"),
            (
                "init",
                "the kernel takes a module in and runs its init function",
            ),
            ("process", "its process: creation, reading, end"),
            ("mount", "PID 1: mount calls"),
            ("mapper", "PID 1: device-mapper and loop devices"),
            ("disk", "PID 1: block devices opened and read"),
            ("other", "PID 1: other calls, own code, writing the trace"),
        ] {
            self.y += ROW;
            self.svg
                .bar(class, (x, x + 26.0), (self.y - 6.0, BAR), None);
            self.svg.text("", x + 34.0, self.y + BAR - 8.0, text);
        }
        self.y += ROW;
        let hint = "Open it in a browser: each bar tells its system calls.";
        self.svg.text("small", x, self.y + BAR - 6.0, hint);
    }
}

fn milliseconds_exactly(micros: u64) -> String {
    format!("{}", micros as f64 / 1000.0)
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
