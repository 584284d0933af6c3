//! Runs many programs so that the processors are always busy: the dearest first, each with the part of a processor that it is known to use.

use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::lab::tools;

pub mod excerpt;
pub mod record;
pub mod suites;
pub mod times;

/// After so long a program is ended, with everything that it has started.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// A program to run to its end.
pub struct Job {
    pub name: String,
    pub command: Command,
    /// How long it is expected to take. Those that take longest are started first.
    pub wall: Duration,
    /// How many processors it is expected to keep busy.
    pub processors: f64,
    /// The name of a job that has to be over before this one starts.
    pub after: Option<String>,
}

/// What became of a [`Job`].
#[derive(Clone, Debug)]
pub struct Done {
    pub name: String,
    /// It ended by itself, with exit code 0.
    pub succeeded: bool,
    /// What it wrote to standard output and standard error, as it came.
    pub output: String,
    pub wall: Duration,
    /// Processor time, of its children too.
    pub cpu: Duration,
}

/// Runs all of the jobs, as many at a time as `processors` have room for; `on_end` gets each as it ends.
///
/// # Errors
///
/// If a program cannot be started, or a job waits for one that there is not.
pub fn run(
    mut jobs: Vec<Job>,
    processors: f64,
    mut on_end: impl FnMut(Done) -> Result<()>,
) -> Result<()> {
    jobs.sort_by_key(|job| std::cmp::Reverse(job.wall));
    let (sender, ended) = channel();
    // Name and processors of what runs.
    let mut running: Vec<(String, f64)> = Vec::new();
    while !jobs.is_empty() || !running.is_empty() {
        while let Some(place) = next(&jobs, &running, processors) {
            let job = jobs.remove(place);
            running.push((job.name.clone(), job.processors));
            start(job, sender.clone())?;
        }
        anyhow::ensure!(!running.is_empty(), "{} can never start", jobs[0].name);
        on_end(one(&ended, &mut running)?)?;
    }
    Ok(())
}

/// Which job to start now, if any.
fn next(jobs: &[Job], running: &[(String, f64)], processors: f64) -> Option<usize> {
    let busy: f64 = running.iter().map(|(_, busy)| busy).sum();
    let is_over = |name: &str| {
        let waits = jobs.iter().any(|job| job.name == name);
        !waits && running.iter().all(|(running, _)| running != name)
    };
    jobs.iter().position(|job| {
        let fits = running.is_empty() || busy + job.processors <= processors;
        fits && job.after.as_deref().is_none_or(is_over)
    })
}

/// Waits for the next end.
fn one(ended: &Receiver<Result<Done>>, running: &mut Vec<(String, f64)>) -> Result<Done> {
    let done = ended.recv().context("no job is left")??;
    running.retain(|(name, _)| *name != done.name);
    Ok(done)
}

fn start(job: Job, ended: Sender<Result<Done>>) -> Result<()> {
    let mut output = tempfile::tempfile()?;
    let started = Instant::now();
    let child = ends_with_this_one(&job.command)?
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", job.name))?;
    thread::spawn(move || {
        let finish = || -> Result<Done> {
            let (succeeded, cpu) = wait(child, started)?;
            let mut bytes = Vec::new();
            output.rewind()?;
            output.read_to_end(&mut bytes)?;
            Ok(Done {
                name: job.name.clone(),
                succeeded,
                output: String::from_utf8_lossy(&bytes).into_owned(),
                wall: started.elapsed(),
                cpu,
            })
        };
        // Nobody listens any more where something else has failed.
        let _ = ended.send(finish());
    });
    Ok(())
}

/// The same program, ended by the kernel when this process ends, however that comes.
fn ends_with_this_one(command: &Command) -> Result<Command> {
    let mut wrapped = tools::ends_with_this_process()?;
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    Ok(wrapped)
}

/// Waits for the end of a process, and ends it where it takes too long. Returns whether it was content, and the processor time that it took.
fn wait(mut child: Child, started: Instant) -> Result<(bool, Duration)> {
    let pid = Pid::from_child(&child);
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // What is left of a process until it is waited for tells what it took.
    let mut pause = Duration::from_millis(1);
    while waitid(WaitId::Pid(pid), ended | WaitIdOptions::NOHANG)?.is_none() {
        if started.elapsed() > LIMIT {
            kill_process_group(pid, Signal::KILL)?;
            waitid(WaitId::Pid(pid), ended)?;
            break;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let cpu = processor_time(&stat).context("/proc/PID/stat is not as proc(5) describes it")?;
    Ok((child.wait()?.success(), cpu))
}

/// The processor time of a process and of those children that it has waited for, from /proc/PID/stat: fields 14 to 17 of proc(5).
fn processor_time(stat: &str) -> Option<Duration> {
    let millis = 1000 * processor_ticks(stat)? / rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(millis))
}

/// The same in the kernel's ticks.
pub fn processor_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may have blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Option<Vec<u64>> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse().ok())
        .collect();
    let [own, kernel, children, for_children] = ticks?[..] else {
        return None;
    };
    Some(own + kernel + children + for_children)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, seconds: u64, processors: f64, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job {
            name: name.to_owned(),
            command,
            wall: Duration::from_secs(seconds),
            processors,
            after: None,
        }
    }

    #[test]
    fn each_runs_once_and_tells_what_it_said() {
        let jobs = vec![
            job("good", 1, 1.0, "echo one; echo two >&2"),
            job("bad", 2, 1.0, "exit 3"),
            job("killed", 3, 1.0, "kill -9 $$"),
        ];
        let mut done = Vec::new();
        run(jobs, 1.0, |one| {
            done.push((one.name, one.succeeded, one.output));
            Ok(())
        })
        .unwrap();
        let want = [
            ("killed", false, ""),
            ("bad", false, ""),
            ("good", true, "one\ntwo\n"),
        ];
        assert_eq!(
            done,
            want.map(|(name, ok, said)| (name.to_owned(), ok, said.to_owned()))
        );
    }

    #[test]
    fn what_does_not_fit_waits_and_what_fits_goes_ahead() {
        let mut jobs = vec![
            job("long", 9, 0.5, "true"),
            job("wide", 8, 2.0, "true"),
            job("small", 1, 1.0, "true"),
        ];
        let running = [("long".to_owned(), 0.5)];
        jobs.remove(0);
        assert_eq!(next(&jobs, &running, 2.0), Some(1));
        assert_eq!(next(&jobs, &[], 2.0), Some(0));
        jobs[0].after = Some("long".to_owned());
        assert_eq!(next(&jobs, &[], 2.0), Some(0));
        jobs[1].after = Some("wide".to_owned());
        assert_eq!(next(&jobs, &running, 4.0), None);
    }

    #[test]
    fn a_job_that_waits_for_itself_is_refused() {
        let mut circle = job("circle", 1, 1.0, "true");
        circle.after = Some("circle".to_owned());
        let error = run(vec![circle], 1.0, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "circle can never start");
    }

    #[test]
    fn the_time_of_children_counts() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 20 3000 4 20 0 1 0";
        let ticks = rustix::param::clock_ticks_per_second();
        let want = Duration::from_millis(3124 * 1000 / ticks);
        assert_eq!(processor_time(stat), Some(want));
        assert_eq!(processor_time("7 (a) S 1 7 7"), None);
    }
}
