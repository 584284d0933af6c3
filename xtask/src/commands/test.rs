//! `cargo xtask test`: every test there is, and the size gate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::Verdict;
use crate::commands::results as table;
use crate::lab::guest::Stage2;
use crate::lab::kernels::{self, Series};
use crate::lab::runner::record::Record;
use crate::lab::runner::suites::{self, Test};
use crate::lab::runner::{self, Done, Job};
use crate::lab::{build, paths, spent, systemd, tools};
use crate::measure::results;
use builder::arch::Arch;
use builder::progress;

#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose suite and name, as `boot failures::no_superblock`, contain one of these, and no size gate
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The slow ones, too; then README.md has to have the table of what was seen to boot
    #[arg(long)]
    pub all: bool,
    /// Processors to keep busy [default: all]
    #[arg(long, value_name = "N")]
    processors: Option<usize>,
    /// Show where the last run's time went, and run nothing
    #[arg(long)]
    slowest: bool,
    /// Record what part of the whole run each test has taken, in tests/shares.json
    #[arg(long, requires = "all", conflicts_with = "names")]
    record: bool,
    /// Make what several tests wait for, and run nothing
    #[arg(long, hide = true)]
    prepare: bool,
}

/// Something that is checked beside the tests, as a process like them.
pub struct Check {
    pub name: &'static str,
    pub command: Command,
    /// How long it takes, about.
    pub wall: Duration,
}

/// What [`Args::prepare`] makes.
const PREPARATION: &str = "the system with systemd";
/// How the names of tests begin, and what has to be over before them: they would only wait for it, and keep a processor from others.
const AFTER: [(&str, &str); 2] = [
    (NEEDS_SYSTEM, PREPARATION),
    (
        "dist copies::",
        "boot slow::release::built_by_the_release_in_an_empty_debian",
    ),
];
const NEEDS_SYSTEM: &str = "boot slow::systemd::";

/// Tests that are worth a line of their own among the dearest.
const DEAREST: usize = 10;

/// Where the time of a run went, in seconds: kept as JSON in `target/toehold/tests.json`.
#[derive(Serialize, Deserialize)]
struct Times {
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

pub fn run(args: Args) -> Result<Verdict> {
    run_with(args, Vec::new())
}

/// Runs the tests, and beside them these checks.
pub fn run_with(args: Args, mut checks: Vec<Check>) -> Result<Verdict> {
    if args.slowest {
        print!("{}", Times::read()?.text());
        return Ok(Verdict::Pass);
    }
    if args.prepare {
        systemd::make()?;
        return Ok(Verdict::Pass);
    }
    let started = Instant::now();
    // Asked before cargo builds this program once more, in the same place.
    let own = std::env::current_exe()?;
    let (all, chosen) = prepare(&args)?;
    let is_whole = args.names.is_empty();
    if is_whole {
        checks.push(own_check(
            &own,
            "sizes against size-budget.toml",
            &["size"],
            500,
        ));
    }
    if chosen
        .iter()
        .any(|test| test.name.starts_with(NEEDS_SYSTEM))
    {
        checks.push(own_check(&own, PREPARATION, &["test", "--prepare"], 600));
    }
    let preparing = started.elapsed();
    let record = Record::read()?;
    if is_whole && args.all {
        results::clear()?;
    }
    let log = paths::output().join("spent");
    let _ = fs::remove_file(&log);
    let outcome = perform(&args, &record, &chosen, checks, &log)?;

    let times = Times::of(
        &outcome.done,
        started.elapsed(),
        preparing,
        &spent::read(&log)?,
    );
    times.write()?;
    println!("\n{}", times.text());
    let of_tests: Vec<Done> = outcome.tests();
    let names: Vec<&str> = all.iter().map(|test| test.name.as_str()).collect();
    if is_whole && args.all {
        // What is a share of less than everything is another one.
        for line in record.dearer(&of_tests) {
            println!("dearer than it was: {line}");
        }
    }
    for name in record.gone(&names) {
        println!("recorded, and not there any more: {name}");
    }
    if args.record {
        Record::of(&of_tests).write()?;
    }
    let table = if is_whole && args.all && outcome.failed.is_empty() {
        table::check()?
    } else {
        Verdict::Pass
    };
    for name in &outcome.failed {
        println!("failed: {name}");
    }
    let failed = outcome.failed.len();
    let passed = outcome.done.len() - failed;
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        all.len() - chosen.len()
    );
    // A run that tested nothing proves nothing.
    let good = !of_tests.is_empty() && failed == 0 && table == Verdict::Pass;
    Ok(if good { Verdict::Pass } else { Verdict::Fail })
}

/// Gets what tests need, and builds them. Returns all tests, and those to be run.
fn prepare(args: &Args) -> Result<(Vec<Test>, Vec<Test>)> {
    tools::require(&tools::all())?;
    let step = progress::step("getting kernels, building tests, inits and guests");
    // Cargo leaves processors idle at its beginnings and ends, and kernels come over the network.
    let others = thread::spawn(|| -> Result<()> {
        for series in Series::ALL {
            kernels::fetch(series)?;
        }
        for arch in Arch::ALL {
            build::init(arch)?;
            Stage2::find(arch)?;
        }
        Ok(())
    });
    let all = suites::build()?;
    others
        .join()
        .map_err(|_| anyhow!("a thread has panicked"))??;
    step.done();
    let mut chosen = all.clone();
    chosen.retain(|test| {
        let is_named = args.names.iter().any(|name| test.name.contains(name));
        (args.all || !test.is_slow) && (args.names.is_empty() || is_named)
    });
    if chosen.is_empty() {
        let slow = if args.all {
            ""
        } else {
            "; --all has the slow ones, too"
        };
        bail!("no test is called {}{slow}", args.names.join(" or "));
    }
    Ok((all, chosen))
}

/// What became of a run.
struct Outcome {
    /// Tests and checks.
    done: Vec<Done>,
    /// Names of those that failed.
    failed: Vec<String>,
    checks: Vec<&'static str>,
}

impl Outcome {
    /// The tests alone.
    fn tests(&self) -> Vec<Done> {
        let is_test = |done: &&Done| !self.checks.contains(&done.name.as_str());
        let tests = self.done.iter().filter(is_test);
        tests.cloned().collect()
    }
}

/// Runs tests and checks, and shows what those say that fail.
fn perform(
    args: &Args,
    record: &Record,
    chosen: &[Test],
    checks: Vec<Check>,
    log: &Path,
) -> Result<Outcome> {
    let mut outcome = Outcome {
        done: Vec::new(),
        failed: Vec::new(),
        checks: checks.iter().map(|check| check.name).collect(),
    };
    let mut jobs: Vec<Job> = Vec::new();
    for test in chosen {
        let (wall, processors) = record.expected(&test.name);
        jobs.push(Job {
            name: test.name.clone(),
            command: test.command(),
            wall,
            processors,
            after: after(&test.name),
        });
    }
    jobs.extend(checks.into_iter().map(|check| Job {
        name: check.name.to_owned(),
        command: check.command,
        wall: check.wall,
        processors: 1.0,
        after: None,
    }));
    for job in &mut jobs {
        job.command.env(spent::FILE, log);
    }
    let processors = args
        .processors
        .or_else(|| Some(thread::available_parallelism().ok()?.get()));
    let number = jobs.len();
    println!("\nrunning {number} tests and checks");
    runner::run(jobs, processors.unwrap_or(2) as f64, |done| {
        let is_check = outcome.checks.contains(&done.name.as_str());
        let passed = if is_check {
            done.succeeded
        } else {
            suites::passed(&done)
        };
        let (word, seconds) = (
            if passed { "ok    " } else { "FAILED" },
            done.wall.as_secs_f64(),
        );
        println!("{word} {seconds:7.1} s  {}", done.name);
        if !passed {
            println!("{}\n", done.output.trim_end());
            outcome.failed.push(done.name.clone());
        }
        outcome.done.push(done);
        Ok(())
    })?;
    Ok(outcome)
}

/// The job that has to be over before this test, if there is one.
fn after(name: &str) -> Option<String> {
    let mut all = AFTER.iter();
    let found = all.find(|(beginning, _)| name.starts_with(beginning));
    found.map(|(_, job)| (*job).to_owned())
}

/// A check by this program itself, which takes so many seconds, about.
fn own_check(own: &Path, name: &'static str, arguments: &[&str], seconds: u64) -> Check {
    let mut command = Command::new(own);
    command.args(arguments);
    Check {
        name,
        command,
        wall: Duration::from_secs(seconds),
    }
}

impl Times {
    fn of(
        done: &[Done],
        wall: Duration,
        preparing: Duration,
        spent: &BTreeMap<String, (usize, Duration)>,
    ) -> Self {
        let mut suites = BTreeMap::<String, (usize, f64, f64)>::new();
        let mut tests = Vec::new();
        for done in done {
            let (cpu, wall) = (done.cpu.as_secs_f64(), done.wall.as_secs_f64());
            let mut words = done.name.split(' ');
            let suite = match (words.next(), words.next(), words.next()) {
                (Some(suite), Some(_), None) => suite,
                _ => "checks",
            };
            let suite = suites.entry(suite.to_owned()).or_default();
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
            suites,
            tests,
        }
    }

    fn path() -> PathBuf {
        paths::output().join("tests.json")
    }

    fn read() -> Result<Self> {
        let path = Self::path();
        let text = fs::read(&path).with_context(|| {
            format!(
                "no run is kept in {}: `cargo xtask test` makes one",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    fn write(&self) -> Result<()> {
        let path = Self::path();
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// For people.
    fn text(&self) -> String {
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
        let done = [
            done("boot a", 3, 4),
            done("boot b", 5, 6),
            done("the sizes of it", 1, 2),
        ];
        let spent = [("packing".to_owned(), (2, Duration::from_secs(7)))].into();
        let times = Times::of(
            &done,
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
