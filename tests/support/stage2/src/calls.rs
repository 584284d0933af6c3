//! What the kernel itself recorded of system calls: the tracepoints raw_syscalls:sys_enter and raw_syscalls:sys_exit.

use std::fs;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use toehold_stage2::SystemCall;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Ends the recording that `trace_event=raw_syscalls:sys_enter,raw_syscalls:sys_exit` on the kernel command line began.
pub fn stop() -> io::Result<()> {
    mount("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None)?;
    fs::write(Path::new(TRACEFS).join("tracing_on"), "0")
}

/// What was recorded, in order. A process that was cloned begins with the end of a call that it did not begin.
pub fn recorded() -> io::Result<Vec<SystemCall>> {
    let text = fs::read_to_string(Path::new(TRACEFS).join("trace"))?;
    let mut calls: Vec<SystemCall> = Vec::new();
    for line in text.lines() {
        let lost = || io::Error::other(format!("no record of a system call: {line}"));
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        // `COMMAND-PID [CPU] FLAGS TIME: EVENT: NR NUMBER (ARGUMENTS)`, or ` = RESULT` in place of these.
        let (head, event) = line.split_once(": sys_").ok_or_else(lost)?;
        let pid = head
            .rfind(" [")
            .and_then(|end| head[..end].trim().rsplit('-').next())
            .and_then(|pid| pid.parse().ok())
            .ok_or_else(lost)?;
        let (event, rest) = event.split_once(": NR ").ok_or_else(lost)?;
        let mut words = rest.split(' ');
        let number: i64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(lost)?;
        if event == "enter" {
            let result = None;
            calls.push(SystemCall {
                pid,
                number,
                result,
            });
            continue;
        }
        let result: i64 = words
            .nth(1)
            .and_then(|word| word.parse().ok())
            .ok_or_else(lost)?;
        let begun = calls.iter_mut().rfind(|call| call.pid == pid);
        match begun {
            Some(call) if call.number == number && call.result.is_none() => {
                call.result = Some(result)
            }
            _ => calls.push(SystemCall {
                pid,
                number,
                result: Some(result),
            }),
        }
    }
    Ok(calls)
}
