//! The time axis: where a moment is, and the lines and times that mark it.

use std::ops::Range;

use super::{Drawing, LEFT, RIGHT};
use crate::measure::chart::boot::State;
use crate::measure::chart::grouped;

/// Where a moment is, in pixels.
pub struct Axis {
    end: u64,
    /// From one mark to the next, microseconds.
    step: u64,
}

impl Axis {
    pub fn new(end: u64) -> Self {
        let sizes = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)));
        let step = sizes
            .into_iter()
            .find(|step| end / step <= 12)
            .unwrap_or(end);
        Self { end, step }
    }

    pub fn at(&self, time: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * time as f64 / self.end.max(1) as f64
    }

    /// Left and right of a bar that can be seen.
    pub fn bar(&self, span: &Range<u64>) -> (f64, f64) {
        let (left, right) = (self.at(span.start), self.at(span.end));
        (left, right.max(left + 0.7))
    }
}

impl Drawing<'_> {
    /// The times along the axis, with their base line at `y`.
    pub(super) fn marks(&mut self, y: f64) {
        for time in self.axis_marks() {
            let milliseconds = grouped(time / 1000);
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

    pub(super) fn grid(&mut self, top: f64, bottom: f64) {
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
}

fn milliseconds_exactly(micros: u64) -> String {
    format!("{}", micros as f64 / 1000.0)
}
