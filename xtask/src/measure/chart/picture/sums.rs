//! Below the picture: what took how much of the boot, and what the colours mean.

use super::{BAR, Drawing, ROW, class};
use crate::measure::chart::milliseconds;
use crate::measure::chart::path::What;

/// How many sums are listed.
const SUMS: usize = 10;

impl Drawing<'_> {
    /// What took how much of the boot, and what the colours mean.
    pub(super) fn sums(&mut self) {
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
            ("unpack", "a group of modules is unpacked"),
            ("process", "the process of either: creation, reading, end"),
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
