//! `cargo xtask test`: every test there is, and the size gate.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::print;
use crate::Verdict;
use crate::commands::results as table;
use crate::lab::guest::Stage2;
use crate::lab::kernels::{self, Series};
use crate::lab::runner::record::Record;
use crate::lab::runner::suites::{self, Test};
use crate::lab::runner::times::Times;
use crate::lab::runner::{self, Done, Job, excerpt};
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
const AFTER: [(&str, &str); 5] = [
    ("boot slow::systemd::", PREPARATION),
    (
        "boot slow::debian::",
        "boot slow::release::built_by_the_release_in_an_empty_debian",
    ),
    (
        "boot slow::mkosi::",
        "boot slow::debian::kernels_come_and_go_in_a_debian_with_the_package",
    ),
    (
        "builder foreign::mkosis",
        "boot slow::debian::kernels_come_and_go_in_a_debian_with_the_package",
    ),
    (
        "dist copies::",
        "boot slow::release::built_by_the_release_in_an_empty_debian",
    ),
];

pub fn run(args: Args) -> Result<Verdict> {
    run_with(args, Vec::new())
}

/// Runs the tests, and beside them these checks.
pub fn run_with(args: Args, mut checks: Vec<Check>) -> Result<Verdict> {
    if args.slowest {
        print(format_args!("{}", Times::read()?.text()))?;
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
        .any(|test| after(&test.name) == Some(PREPARATION))
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
        &outcome.ran,
        &outcome.checks,
        started.elapsed(),
        preparing,
        &spent::read(&log)?,
    );
    times.write()?;
    print(format_args!("\n{}\n", times.text()))?;
    let names: Vec<&str> = all.iter().map(|test| test.name.as_str()).collect();
    if is_whole && args.all {
        // What is a share of less than everything is another one.
        for line in record.dearer(&outcome.ran) {
            print(format_args!("dearer than it was: {line}\n"))?;
        }
    }
    for name in record.gone(&names) {
        print(format_args!("recorded, and not there any more: {name}\n"))?;
    }
    if args.record {
        Record::of(&outcome.ran).write()?;
    }
    let table = if is_whole && args.all && outcome.failed.is_empty() {
        table::check()?
    } else {
        Verdict::Pass
    };
    // Logs of CI are long, and not every one keeps all of it: what matters stands at the end once more.
    for (name, output) in &outcome.failed {
        print(format_args!("\n{name} said:\n{}\n", excerpt::of(output)))?;
    }
    if !outcome.failed.is_empty() {
        print("\n")?;
    }
    for (name, _) in &outcome.failed {
        print(format_args!("failed: {name}\n"))?;
    }
    let failed = outcome.failed.len();
    let passed = outcome.ran.len() + outcome.checks.len() - failed;
    print(format_args!(
        "{passed} passed, {failed} failed, {} skipped\n",
        all.len() - chosen.len()
    ))?;
    // A run that tested nothing proves nothing.
    let good = !outcome.ran.is_empty() && failed == 0 && table == Verdict::Pass;
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
#[derive(Default)]
struct Outcome {
    /// The tests.
    ran: Vec<Done>,
    checks: Vec<Done>,
    /// Names of those that failed, tests and checks, and what they said.
    failed: Vec<(String, String)>,
}

/// Runs tests and checks, and shows what those say that fail.
fn perform(
    args: &Args,
    record: &Record,
    chosen: &[Test],
    checks: Vec<Check>,
    log: &Path,
) -> Result<Outcome> {
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let mut outcome = Outcome::default();
    let mut jobs: Vec<Job> = Vec::new();
    for test in chosen {
        let (wall, processors) = record.expected(&test.name);
        jobs.push(Job {
            name: test.name.clone(),
            command: test.command(),
            wall,
            processors,
            after: after(&test.name).map(str::to_owned),
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
    let available = || thread::available_parallelism().map_or(2, |count| count.get());
    let processors = args.processors.unwrap_or_else(available);
    let number = jobs.len();
    print(format_args!("\nrunning {number} tests and checks\n"))?;
    runner::run(jobs, processors as f64, |done| {
        let is_check = names.contains(&done.name.as_str());
        let passed = if is_check {
            done.succeeded
        } else {
            suites::passed(&done)
        };
        let (word, seconds) = (
            if passed { "ok    " } else { "FAILED" },
            done.wall.as_secs_f64(),
        );
        print(format_args!("{word} {seconds:7.1} s  {}\n", done.name))?;
        if !passed {
            print(format_args!("{}\n\n", done.output.trim_end()))?;
            outcome
                .failed
                .push((done.name.clone(), done.output.clone()));
        }
        if is_check {
            outcome.checks.push(done);
        } else {
            outcome.ran.push(done);
        }
        Ok(())
    })?;
    Ok(outcome)
}

/// The job that has to be over before this test, if there is one.
fn after(name: &str) -> Option<&'static str> {
    let mut all = AFTER.iter();
    let found = all.find(|(beginning, _)| name.starts_with(beginning));
    found.map(|(_, job)| *job)
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
