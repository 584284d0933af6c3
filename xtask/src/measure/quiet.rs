//! Whether a measurement had this machine to itself: what part of the processors' time others took meanwhile.

use std::fs;

use anyhow::{Context, Result};

use crate::lab::runner::processor_ticks;

/// Part of all processors' time from which on a measurement is disturbed.
pub const DISTURBED: f64 = 0.1;

/// The kernel's counters at one moment, in its ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Of all processors, idle or not.
    all: u64,
    /// Spent by processes and for them, and by a hypervisor on other machines.
    busy: u64,
    /// Spent by this process and those children of it that ended.
    own: u64,
}

impl Watch {
    pub fn start() -> Result<Self> {
        let read =
            |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        Self::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
            .context("/proc/stat and /proc/self/stat are not as proc(5) describes them")
    }

    /// Reads the two files of proc(5).
    fn parse(machine: &str, process: &str) -> Option<Self> {
        let fields = machine.lines().next()?.strip_prefix("cpu")?;
        let fields: Vec<u64> = fields
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of those.
        let fields = fields.get(..8)?;
        let all = fields.iter().sum();
        Some(Self {
            all,
            busy: all - fields[3] - fields[4],
            own: processor_ticks(process)?,
        })
    }

    /// The part of the time since then that went to others, from 0 to 1.
    pub fn others(&self) -> Result<f64> {
        Ok(self.until(&Self::start()?))
    }

    fn until(&self, now: &Self) -> f64 {
        let all = now.all.saturating_sub(self.all).max(1);
        let busy = now.busy.saturating_sub(self.busy);
        let own = now.own.saturating_sub(self.own);
        busy.saturating_sub(own) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;

    #[test]
    fn the_share_of_others() {
        let process =
            |own: u64| format!("7 (a (b) c) R 1 7 7 0 -1 0 9 9 9 9 {own} 1 2 3 20 0 1 0 5 0 0");
        let before = Watch::parse("cpu  100 0 50 800 10 5 5 30 7 0\ncpu0 1\n", &process(40));
        let before = before.unwrap();
        assert_eq!(
            before,
            Watch {
                all: 1000,
                busy: 190,
                own: 46
            }
        );
        let now = Watch::parse("cpu  160 10 80 850 20 5 5 70 9 0\n", &process(100)).unwrap();
        // 200 ticks, 140 of them busy, 60 our own.
        assert!((before.until(&now) - 0.4).abs() < 1e-9);
        assert_eq!(Watch::parse("cpu 1 2 3", &process(1)), None);
        assert_eq!(Watch::parse("", ""), None);
    }

    #[test]
    fn this_machine() {
        let share = Watch::start().unwrap().others().unwrap();
        assert!((0.0..=1.0).contains(&share));
    }
}
