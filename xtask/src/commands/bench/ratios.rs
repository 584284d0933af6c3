//! What part of another initrd's time one may take.

use std::iter::zip;

use schemars::JsonSchema;
use serde::Serialize;

use super::{BUSYBOX, FLOOR, PLAIN, Side, TOEHOLD};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Span {
    /// From the kernel's `Run /init` to stage 2.
    Init,
    /// From the kernel's entry to stage 2.
    Whole,
}

/// Whose time over whose, of what, and what is allowed. The floor has its modules unpacked by the kernel: so has what is compared with it.
const ALLOWED: [(&str, &str, Span, f64); 5] = [
    (TOEHOLD, BUSYBOX, Span::Init, 0.30),
    (PLAIN, FLOOR, Span::Init, 0.85),
    (TOEHOLD, PLAIN, Span::Init, 1.25),
    (TOEHOLD, PLAIN, Span::Whole, 0.80),
    (TOEHOLD, BUSYBOX, Span::Whole, 0.40),
];

/// One side's time over another's.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ratio {
    /// Whose time.
    of: &'static str,
    /// Over whose.
    to: &'static str,
    /// What is measured: from `Run /init`, or from the kernel's entry to stage 2.
    span: Span,
    /// Of the medians.
    of_medians: f64,
    /// Of each round's boots.
    rounds: Vec<f64>,
    /// What it may be at most.
    allowed: f64,
}

impl Ratio {
    pub fn good(&self) -> bool {
        self.of_medians <= self.allowed
    }

    pub fn text(&self) -> String {
        let span = match self.span {
            Span::Init => "Run /init",
            Span::Whole => "the kernel's entry",
        };
        let rounds: Vec<String> = self.rounds.iter().map(|one| format!("{one:.2}")).collect();
        format!(
            "From {span} to stage 2, {} takes {:.3} of the time of {}; {:.2} is allowed (by round {}){}",
            self.of,
            self.of_medians,
            self.to,
            self.allowed,
            rounds.join(" "),
            if self.good() { "" } else { ": TOO MUCH" }
        )
    }
}

impl Side {
    /// The median, and round by round.
    fn times(&self, span: Span) -> (u64, &[u64]) {
        match span {
            Span::Init => (self.boot_median, &self.boot),
            Span::Whole => (self.whole_median, &self.whole),
        }
    }
}

/// All of [`ALLOWED`].
pub fn of(sides: &[Side]) -> Vec<Ratio> {
    let side = |name: &str| sides.iter().find(|side| side.name == name);
    let ratio = |(of, to, span, allowed): (&'static str, &'static str, Span, f64)| {
        let (own, own_rounds) = side(of)?.times(span);
        let (other, other_rounds) = side(to)?.times(span);
        let over = |own: u64, other: u64| own as f64 / other as f64;
        Some(Ratio {
            of,
            to,
            span,
            of_medians: over(own, other),
            rounds: zip(own_rounds, other_rounds)
                .map(|(own, other)| over(*own, *other))
                .collect(),
            allowed,
        })
    };
    ALLOWED.into_iter().filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_sides() {
        let side = |name, boot: &[u64], whole: &[u64]| Side {
            name,
            boot: boot.to_owned(),
            boot_median: boot[0],
            whole: whole.to_owned(),
            whole_median: whole[0],
            ..Side::default()
        };
        let sides = [
            side(TOEHOLD, &[13, 12], &[40, 41]),
            side(PLAIN, &[10, 10], &[80, 82]),
        ];
        let ratios = of(&sides);
        let found: Vec<_> = ratios
            .iter()
            .map(|one| (one.span, one.of_medians, one.good()))
            .collect();
        assert_eq!(found, [(Span::Init, 1.3, false), (Span::Whole, 0.5, true)]);
        assert_eq!(ratios[1].rounds, [0.5, 0.5]);
        assert_eq!(
            ratios[0].text(),
            "From Run /init to stage 2, toehold takes 1.300 of the time of plain; 1.25 is allowed (by round 1.30 1.20): TOO MUCH"
        );
    }
}
