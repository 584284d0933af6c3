//! How much of a whole run each test takes: recorded in `tests/shares.json`, so that the dearest can start first and a test that became dearer is told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Done;
use crate::lab::paths;

/// Where the record lies in the repository.
const FILE: &str = "tests/shares.json";

/// Parts of a whole run's processor time.
const WHOLE: f64 = 1e6;

/// What a test that is not recorded is taken for: a boot of the demo.
const UNKNOWN: Share = Share {
    cpu: 2000,
    busy: 80,
};

/// The least that a test counts for: one that was recorded where others kept it from the processors seems to wait. Many of those at once would keep
/// each other from them, and time within their machines goes on.
const LEAST: f64 = 0.4;

/// A test takes over this many times its recorded share: it is told.
const DEARER: f64 = 2.0;

/// Of a whole run's processor time; who takes less is too small for its share to mean much.
const NOTABLE: f64 = 0.002;

/// What one test takes.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its part of the processor time of all tests, in millionths.
    cpu: u32,
    /// How much of a processor it keeps busy while it runs, in percent.
    busy: u32,
}

/// The shares of all tests, by name.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug, Default)]
pub struct Record(BTreeMap<String, Share>);

impl Record {
    /// The recorded one; empty where there is none.
    pub fn read() -> Result<Self> {
        match paths::root().join(FILE).exists() {
            true => serde_json::from_str(&paths::text(FILE)?).with_context(|| {
                format!("{FILE} is damaged; `cargo xtask test --all --record` writes it")
            }),
            false => Ok(Self::default()),
        }
    }

    /// What a run that is over has taken.
    pub fn of(done: &[Done]) -> Self {
        let all = total(done);
        let share = |done: &Done| {
            let (cpu, wall) = (done.cpu.as_secs_f64(), done.wall.as_secs_f64());
            Share {
                cpu: (WHOLE * cpu / all) as u32,
                busy: (100.0 * cpu / wall.max(0.001)) as u32,
            }
        };
        let shares = done.iter().map(|done| (done.name.clone(), share(done)));
        Self(shares.collect())
    }

    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        // One line for each test.
        let text = text.replace("{\n    ", "{ ").replace(",\n    ", ", ");
        let text = text.replace("\n  }", " }");
        std::fs::write(paths::root().join(FILE), text)
            .with_context(|| format!("cannot write {FILE}"))
    }

    /// How long a test will take, as far as it matters for which one comes first, and how many processors it keeps busy.
    pub fn expected(&self, name: &str) -> (Duration, f64) {
        let Share { cpu, busy } = self.0.get(name).copied().unwrap_or(UNKNOWN);
        let processors = (f64::from(busy) / 100.0).clamp(0.1, 2.0);
        let wall = f64::from(cpu) / processors;
        (Duration::from_millis(wall as u64), processors.max(LEAST))
    }

    /// One line for each test that takes over twice its recorded share.
    pub fn dearer(&self, done: &[Done]) -> Vec<String> {
        let all = total(done);
        let mut lines = Vec::new();
        for done in done {
            let share = done.cpu.as_secs_f64() / all;
            let Some(recorded) = self.0.get(&done.name) else {
                continue;
            };
            let recorded = f64::from(recorded.cpu.max(1)) / WHOLE;
            if share > NOTABLE && share > DEARER * recorded {
                let times = share / recorded;
                lines.push(format!(
                    "{}: {times:.1} times its recorded share",
                    done.name
                ));
            }
        }
        lines
    }

    /// The recorded tests that are not among these.
    pub fn gone<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let recorded = self.0.keys().map(String::as_str);
        recorded.filter(|name| !names.contains(name)).collect()
    }
}

/// Processor time of all, in seconds.
fn total(done: &[Done]) -> f64 {
    let sum: Duration = done.iter().map(|done| done.cpu).sum();
    sum.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &str, cpu: u64, wall: u64) -> Done {
        Done {
            name: name.to_owned(),
            succeeded: true,
            output: String::new(),
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
        }
    }

    #[test]
    fn who_takes_more_than_twice_its_share_is_told() {
        let before = [
            done("a", 100, 200),
            done("b", 300, 300),
            done("c", 600, 400),
        ];
        let record = Record::of(&before);
        assert_eq!(record.dearer(&before), [""; 0]);
        let after = [
            done("a", 900, 900),
            done("b", 300, 300),
            done("c", 600, 400),
        ];
        assert_eq!(record.dearer(&after), ["a: 5.0 times its recorded share"]);
        // A machine that is slower is slower for all.
        let slower = before
            .iter()
            .map(|one| done(&one.name, 9000 * one.cpu.as_millis() as u64, 1));
        assert_eq!(record.dearer(&slower.collect::<Vec<_>>()), [""; 0]);
        assert_eq!(record.gone(&["a", "c", "d"]), ["b"]);
    }

    #[test]
    fn the_dearest_comes_first_and_waits_cost_little() {
        let record = Record::of(&[
            done("a", 100, 1000),
            done("b", 800, 400),
            done("c", 100, 100),
        ]);
        let (a, busy) = record.expected("a");
        assert_eq!(busy, LEAST);
        let (b, both) = record.expected("b");
        assert_eq!(both, 2.0);
        let (c, one) = record.expected("c");
        assert_eq!(one, 1.0);
        assert!(a > b && b > c, "{a:?} {b:?} {c:?}");
        assert_eq!(record.expected("new"), (Duration::from_millis(2500), 0.8));
    }

    #[test]
    fn a_record_is_a_line_for_each_test() {
        let record = Record::of(&[done("a", 100, 1000), done("b", 800, 400)]);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
