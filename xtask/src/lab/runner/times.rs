//! Where the time of a run went: for people, and kept as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Done, suites};
use crate::lab::paths;

/// Tests that are worth a line of their own among the dearest.
const DEAREST: usize = 10;

/// Where the time of a run went, in seconds: kept as JSON in `target/toehold/tests.json`.
#[derive(Serialize, Deserialize)]
pub struct Times {
    /// From the start of the command to its end.
    wall: f64,
    /// Of that, until the first test started: tools, kernels, compilers.
    preparing: f64,
    /// Processor time of all tests and checks.
    processors: f64,
    /// What was built, packed, made and booted meanwhile: how often, and the time from start to end of each, added up.
    work: BTreeMap<String, (usize, f64)>,
    /// Tests, processor time and time from start to end of each suite's.
    suites: BTreeMap<String, (usize, f64, f64)>,
    /// All tests and checks with their processor time and their time from start to end, the dearest first.
    tests: Vec<(String, f64, f64)>,
}

impl Times {
    /// `wall` is what the whole run took, and `preparing` what of that was over before the first test; `spent` is what
    /// [`spent::read`](crate::lab::spent::read) returns.
    pub fn of(
        ran: &[Done],
        checks: &[Done],
        wall: Duration,
        preparing: Duration,
        spent: &BTreeMap<String, (usize, Duration)>,
    ) -> Self {
        let mut by_suite = BTreeMap::<String, (usize, f64, f64)>::new();
        let mut tests = Vec::new();
        let ran = ran.iter().map(|done| (suites::suite(&done.name), done));
        let checks = checks.iter().map(|done| ("checks", done));
        for (suite, done) in ran.chain(checks) {
            let (cpu, wall) = (done.cpu.as_secs_f64(), done.wall.as_secs_f64());
            let suite = by_suite.entry(suite.to_owned()).or_default();
            *suite = (suite.0 + 1, suite.1 + cpu, suite.2 + wall);
            tests.push((done.name.clone(), cpu, wall));
        }
        tests.sort_by(|one, other| other.1.total_cmp(&one.1));
        let work = spent.iter();
        Self {
            wall: wall.as_secs_f64(),
            preparing: preparing.as_secs_f64(),
            processors: tests.iter().map(|(_, cpu, _)| cpu).sum(),
            work: work
                .map(|(what, (number, time))| (what.clone(), (*number, time.as_secs_f64())))
                .collect(),
            suites: by_suite,
            tests,
        }
    }

    fn path() -> PathBuf {
        paths::output().join("tests.json")
    }

    /// Those of the last run.
    pub fn read() -> Result<Self> {
        let path = Self::path();
        let text = fs::read(&path).with_context(|| {
            format!(
                "no run is kept in {}: `cargo xtask test` makes one",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    pub fn write(&self) -> Result<()> {
        let path = Self::path();
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:.0} s, {:.0} of them before the first test; {:.0} s of processor time in tests and checks\n\n",
            self.wall, self.preparing, self.processors
        );
        text += "where it went                  number   seconds\n";
        for (what, (number, seconds)) in &self.work {
            text += &format!("{what:30} {number:6} {seconds:9.1}\n");
        }
        text += "\nsuite                          number   seconds  of processors\n";
        for (suite, (number, cpu, wall)) in &self.suites {
            text += &format!("{suite:30} {number:6} {wall:9.1} {cpu:14.1}\n");
        }
        text += "\nthe dearest                               seconds  of processors\n";
        for (name, cpu, wall) in self.tests.iter().take(DEAREST) {
            text += &format!("{name:40} {wall:9.1} {cpu:14.1}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_time_went() {
        let done = |name: &str, cpu, wall| Done {
            name: name.to_owned(),
            succeeded: true,
            output: String::new(),
            wall: Duration::from_secs(wall),
            cpu: Duration::from_secs(cpu),
        };
        let ran = [done("boot a", 3, 4), done("boot b", 5, 6)];
        let checks = [done("sizes", 1, 2)];
        let spent = [("packing".to_owned(), (2, Duration::from_secs(7)))].into();
        let times = Times::of(
            &ran,
            &checks,
            Duration::from_secs(20),
            Duration::from_secs(3),
            &spent,
        );
        assert_eq!(times.suites["boot"], (2, 8.0, 10.0));
        assert_eq!(times.suites["checks"], (1, 1.0, 2.0));
        assert_eq!(times.tests[0].0, "boot b");
        let text = times.text();
        assert!(
            text.starts_with("20 s, 3 of them before the first test; 9 s of"),
            "{text}"
        );
        assert!(
            text.contains("packing                             2       7.0\n"),
            "{text}"
        );
        let kept = serde_json::to_string(&times).unwrap();
        let again: Times = serde_json::from_str(&kept).unwrap();
        assert_eq!(again.text(), text);
    }
}
