//! `rd.earlytrace` against what the kernel itself saw in the same boot, against the timeline, and against an init without it.

use std::collections::BTreeMap;

use syscalls::{Errno, Sysno};
use toehold_stage2::SystemCall;
use xtask::measure::trace::{self, Argument, Call, Outcome};

use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::{IMAGE, expect};

#[test]
fn every_call_as_the_kernel_saw_it() {
    let booted = Boot {
        append: "rd.earlytrace=file trace_event=raw_syscalls:sys_enter,raw_syscalls:sys_exit trace_buf_size=16M",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);

    let file = &booted.report.files["/run/toehold/trace"];
    let calls: Vec<Call> = file
        .lines()
        .map(|line| {
            let call = trace::parse(line).unwrap_or_else(|| panic!("no call: {line}"));
            call.unwrap_or_else(|error| panic!("{error}: {line}"))
        })
        .collect();
    assert!(calls.len() > 500, "{} calls only", calls.len());
    let calls = by_process(calls, |call| call.pid);

    // The log has the same.
    let said = booted.log.lines.iter().filter_map(|line| {
        let call = trace::parse(line)?.expect("by the grammar");
        Some(Call {
            logged: None,
            ..call
        })
    });
    assert_eq!(by_process(said, |call| call.pid), calls);

    let kernel = booted
        .report
        .calls
        .expect("a recording")
        .expect("the tracepoints");
    let kernel = by_process(kernel, |call| call.pid);
    for (pid, seen) in &kernel {
        match calls.get(pid) {
            Some(calls) => agree(calls, seen),
            // What the kernel starts by itself is no child of the init.
            None => assert_ne!(name_of(&seen[0]), "clone", "process {pid} is not traced"),
        }
    }
    assert!(calls.keys().all(|pid| kernel.contains_key(pid)));
    let loaders = calls
        .values()
        .filter(|calls| calls.iter().any(|call| call.name == "finit_module"));
    assert_eq!(loaders.count(), booted.report.modules.len());

    let timeline = &booted.report.files["/run/toehold/timeline"];
    for line in timeline.lines() {
        let (micros, stage) = line.split_once(' ').expect("a time and a stage");
        add_up(&calls[&1], stage, micros.parse().expect("microseconds"));
    }
}

/// The calls of each process, in order.
fn by_process<Of>(
    calls: impl IntoIterator<Item = Of>,
    pid: impl Fn(&Of) -> u32,
) -> BTreeMap<u32, Vec<Of>> {
    let mut found: BTreeMap<u32, Vec<Of>> = BTreeMap::new();
    for call in calls {
        found.entry(pid(&call)).or_default().push(call);
    }
    found
}

/// Checks that a process has made just these calls, in this order, and between them only those of the trace itself: the time before, the call,
/// the time after, who it is, and what writes the lines. And that nothing follows them, but what stage 2 does.
fn agree(calls: &[Call], kernel: &[SystemCall]) {
    let mut seen = kernel.iter().peekable();
    // The init itself began at the end of one.
    seen.next_if(|first| name_of(first) == "execve");
    let mut own = |name: &str, call: &Call| {
        let next = seen
            .next()
            .unwrap_or_else(|| panic!("the kernel saw no {name} at {call}"));
        assert_eq!(name_of(next), name, "at {call}");
        while name == "getpid" && seen.next_if(|next| name_of(next) == "write").is_some() {}
        next.result
    };
    for call in calls {
        let returns = call.result != Outcome::NoReturn;
        // A new process begins at the end of the call that made it.
        let is_born = call.name == "clone" && call.value() == Some(0);
        if !is_born {
            own("clock_gettime", call);
        }
        let mut made = None;
        if returns {
            made = Some(own(call.name, call));
        }
        own("clock_gettime", call);
        own("getpid", call);
        let result = made.unwrap_or_else(|| own(call.name, call));
        match (&call.result, result) {
            (Outcome::Value(value), Some(result)) => assert_eq!(*value as i64, result, "{call}"),
            (Outcome::Errno(name), Some(result)) => {
                assert_eq!(Errno::new(-result as i32).name(), Some(*name), "{call}")
            }
            (Outcome::Error(number), Some(result)) => assert_eq!(*number as i64, -result, "{call}"),
            // Seen from the program that it started.
            (Outcome::NoReturn, Some(0)) if call.name == "execve" => {}
            (Outcome::NoReturn, None) => {}
            (_, result) => panic!("the kernel says {result:?}: {call}"),
        }
    }
    let last = calls.last().map(|call| (call.name, call.result));
    if last != Some(("execve", Outcome::NoReturn)) {
        assert_eq!(seen.next(), None, "after {last:?}");
    }
}

fn name_of(call: &SystemCall) -> &'static str {
    Sysno::new(call.number as usize).map_or("?", |call| call.name())
}

/// Checks that the times of the calls, one after the other, come to the time at which a stage was done, within 5 percent.
fn add_up(calls: &[Call], stage: &str, micros: u64) {
    let message = format!("toehold: stage={stage} done us={micros}");
    let is_message = |call: &Call| match call.arguments.get(1) {
        Some(Argument::Text(text, _)) => String::from_utf8_lossy(text).contains(&message),
        _ => false,
    };
    let end = calls
        .iter()
        .position(is_message)
        .unwrap_or_else(|| panic!("no {message}"));
    // From the first look at the clock to the last one before the message.
    let sum: u64 = calls[1..end].iter().map(|call| call.gap).sum();
    assert!(
        sum.abs_diff(micros) * 20 <= micros,
        "{stage}: {sum} of {micros} us"
    );
    for call in &calls[1..end] {
        assert!(call.duration <= call.gap, "{call}");
    }
}

const UNTRACEABLE: Wanted = Wanted {
    untraceable: true,
    ..Wanted::DEMO
};

/// An init that could trace and does not costs PID 1 less than 1 percent more instructions than one that cannot.
#[test]
fn off_it_costs_nothing() {
    let instructions = |initrd| {
        let boot = Boot {
            initrd,
            cpus: 1,
            counts_instructions: true,
            ..Boot::default()
        };
        boot.stage2().report.ran
    };
    let (mut without, mut with) = (u64::MAX, u64::MAX);
    // When a disk answers is not the guest's to count: what waits, and wakes, more often than it has to is not what is looked for. Of
    // two boots one is such.
    for _ in 0..8 {
        without = without.min(instructions(UNTRACEABLE));
        with = with.min(instructions(Wanted::DEMO));
        println!("{without} instructions without the trace, {with} with it");
        if with * 100 < without * 101 {
            return assert!(without > 100_000_000, "that is no boot");
        }
    }
    panic!("{with} instructions, {without} without the trace");
}
