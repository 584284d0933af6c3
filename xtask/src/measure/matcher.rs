//! How long the init's matcher takes: its processor time for many modaliases, measured on this machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Serialize;
use toehold::format::plan::Plan;

use crate::measure::modaliases;

/// What matching all modaliases of QEMU's machine may take.
pub const ALLOWED: Duration = Duration::from_millis(1);
/// How much longer one modalias may take among ten times as many: nothing, but for noise.
pub const ALLOWED_GROWTH: f64 = 1.5;

/// Rounds of each measurement; the best counts, as the least disturbed.
const ROUNDS: usize = 9;
const FEW: usize = 1_000;
const MANY: usize = 10_000;

/// Processor time in microseconds.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Figures {
    /// All modaliases of QEMU's machine.
    pub machine: f64,
    /// How many those are.
    pub modaliases: usize,
    /// One modalias among 1,000.
    pub one_of_few: f64,
    /// One modalias among 10,000.
    pub one_of_many: f64,
}

impl Figures {
    /// Whether the matcher is fast enough, and linear in the number of modaliases.
    pub fn good(&self) -> bool {
        self.machine < ALLOWED.as_secs_f64() * 1e6 && self.growth() < ALLOWED_GROWTH
    }

    /// The time of a modalias among many over that of one among few.
    pub fn growth(&self) -> f64 {
        self.one_of_many / self.one_of_few
    }
}

/// Measures look-ups in this plan.
pub fn measure(plan: &Plan) -> Figures {
    let (machine, many) = (modaliases::qemu(), modaliases::many(MANY));
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for (best, texts) in best.iter_mut().zip([&machine, &many[..FEW], &many]) {
            *best = time(plan, texts).min(*best);
        }
    }
    let [of_machine, of_few, of_many] = best.map(|time| time.as_secs_f64() * 1e6);
    Figures {
        machine: of_machine,
        modaliases: machine.len(),
        one_of_few: of_few / FEW as f64,
        one_of_many: of_many / MANY as f64,
    }
}

/// Processor time to look all of them up once.
fn time(plan: &Plan, modaliases: &[String]) -> Duration {
    let start = processor_time();
    let mut sum = 0;
    for text in modaliases {
        plan.lookup(text.as_bytes(), &mut |module| sum += module);
    }
    std::hint::black_box(sum);
    processor_time() - start
}

/// Of this thread, since it began.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
