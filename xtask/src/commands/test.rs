//! `cargo xtask test`: every test there is, and the size gate.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::Verdict;
use crate::commands::{defaults, results as table, size};
use crate::lab::build;
use crate::lab::kernels::{self, Series};
use crate::lab::{paths, systemd, tools};
use crate::measure::results;
use builder::arch::Arch;

#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose names contain one of these, and no size gate
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The slow ones, too; then README.md has to have the table of what was seen to boot
    #[arg(long)]
    pub all: bool,
    /// Tests at a time [default: three for two processors, from 2 to 6]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Tests that passed, failed and were ignored.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

pub fn run(args: Args) -> Result<Verdict> {
    tools::require(&tools::all())?;
    for series in Series::ALL {
        kernels::fetch(series)?;
    }
    // What the tests boot.
    for features in [&[][..], &["console"], &["console", "full"]] {
        build::init(Arch::X86_64, features)?;
    }
    let sizes = match args.names.as_slice() {
        [] => {
            println!("\n== sizes");
            // Meanwhile: compressors keep one processor busy only.
            thread::spawn(move || prepare(args.all));
            size::run(defaults()?)?
        }
        _ => Verdict::Pass,
    };
    println!("\n== tests");
    let is_whole = args.all && args.names.is_empty();
    if is_whole {
        results::clear()?;
    }
    let processors = thread::available_parallelism().map_or(2, |count| count.get());
    // A boot waits for a third of its time.
    let threads = args.threads.unwrap_or((processors * 3 / 2).clamp(2, 6));
    let (counts, passed) = run_tests(&args, threads)?;
    println!(
        "\nsizes: {}",
        if sizes == Verdict::Pass {
            "within budget"
        } else {
            "over budget"
        }
    );
    println!(
        "{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.ignored
    );
    let table = if is_whole && passed {
        table::check()?
    } else {
        Verdict::Pass
    };
    // A run that tested nothing proves nothing.
    let good = passed && counts.passed > 0 && sizes == Verdict::Pass && table == Verdict::Pass;
    Ok(if good { Verdict::Pass } else { Verdict::Fail })
}

/// Makes what tests would only wait for, as they do if it is not done by then. What fails here fails once more there, and is told.
fn prepare(all: bool) {
    let mut cargo = cargo_test(&["--no-run", "--quiet"]);
    let _ = cargo.stderr(Stdio::null()).status();
    if all {
        let _ = systemd::make();
    }
}

fn cargo_test(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(paths::cargo());
    cargo.args(["test", "--workspace"]).args(arguments);
    cargo.current_dir(paths::root()).stdin(Stdio::null());
    cargo
}

/// Runs all tests, shows what they print, and counts them; the second value is whether cargo was content.
fn run_tests(args: &Args, threads: usize) -> Result<(Counts, bool)> {
    let mut child = cargo_test(&["--no-fail-fast", "--"])
        .arg(format!("--test-threads={threads}"))
        .args(args.all.then_some("--include-ignored"))
        .args(&args.names)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let mut counts = Counts::default();
    let output = child
        .stdout
        .take()
        .context("cargo has no standard output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        counts.add(&line);
    }
    Ok((counts, child.wait()?.success()))
}

impl Counts {
    /// Adds what a line `test result: ok. 3 passed; 0 failed; 1 ignored; …` says; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once("test result: ") else {
            return;
        };
        let rest = rest.split_once(". ").map_or("", |(_, rest)| rest);
        for part in rest.split(';') {
            let mut words = part.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn the_runner_is_counted() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.01s",
        ] {
            counts.add(line);
        }
        let expected = Counts {
            passed: 5,
            failed: 4,
            ignored: 1,
        };
        assert_eq!(counts, expected);
    }
}
