//! The drawing: one time axis for the stages, for what PID 1 did and waited for, and for each process; then the sums.

mod axis;
mod rows;
mod sums;

use std::ops::Range;

use super::boot::{Boot, Stage, State};
use super::path::Kind;
use super::svg::Svg;
use super::{counted, milliseconds};
use axis::Axis;

/// Lengths in pixels.
const WIDTH: f64 = 1120.0;
/// Where the time axis begins and ends; to its left are the names of rows.
const LEFT: f64 = 128.0;
const RIGHT: f64 = WIDTH - 24.0;
const ROW: f64 = 16.0;
const BAR: f64 = 12.0;
/// A letter's width, on average, at the size of labels; a generous guess, as fonts differ.
const LETTER: f64 = 6.4;

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
  .process { fill: #d5d9dd } .init { fill: #8ba6c1 } .unpack { fill: #97801f } .awaited { fill: url(#hatch) }
  .mount { fill: #2f6f4f } .mapper { fill: #7a3e9d } .disk { fill: #1666b0 } .other { fill: #3c4650 } .wait { fill: #c9ced3 }
</style>
<defs>
  <pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
    <rect width="5" height="5" fill="#e8590c"/><rect width="1.6" height="5" fill="#ffc9a3"/>
  </pattern>
</defs>"##;

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
        let processes = || boot.processes.iter();
        let loads = processes().filter(|process| process.load.is_some());
        let groups = processes().filter(|process| process.unpacking.is_some());
        let mut facts: Vec<String> = Vec::new();
        facts.extend(boot.release.map(|release| format!("Linux {release}")));
        if boot.calls.is_empty() {
            facts.push(
                "stages only: rd.earlytrace on the kernel command line shows the rest".into(),
            );
        } else {
            facts.push(counted(loads.count(), "module load", "module loads"));
            match groups.count() {
                0 => {}
                groups => facts.push(counted(groups, "group unpacked", "groups unpacked")),
            }
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
        let mut above: Vec<(usize, f64, &str, String)> = Vec::new();
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
            let x = (left + right) / 2.0;
            // To the right of its line, or where that would lead out of the picture, to its left.
            let (class, from) = match x + width(&text) {
                right if right < RIGHT => ("over", x + 3.0),
                _ => ("right over", x - 3.0 - width(&text)),
            };
            let tier = ends.iter().position(|end| *end < from).unwrap_or(0);
            ends[tier] = from + width(&text) + 8.0;
            above.push((tier, x, class, text));
        }
        let tiers = above.iter().map(|(tier, ..)| tier + 1).max().unwrap_or(0);
        let top = self.y + tiers as f64 * 14.0;
        for (tier, x, ..) in &above {
            let y = top - 5.0 - *tier as f64 * 14.0;
            self.svg.line("lead", (*x, y - 7.0), (*x, top));
        }
        for (tier, x, class, text) in above {
            let y = top - 5.0 - tier as f64 * 14.0;
            let aside = if class == "over" { 3.0 } else { -3.0 };
            self.svg.text(class, x + aside, y, &text);
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
}
