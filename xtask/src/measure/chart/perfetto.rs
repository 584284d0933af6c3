//! The boot in Chrome's trace event format, which Perfetto and chrome://tracing open.
//!
//! Source: "Trace Event Format", the JSON object format: complete events (`X`) with times in microseconds, and metadata (`M`).

use serde::Serialize;
use serde_json::{Value, json};

use super::boot::{Boot, State};
use super::path::What;

/// The process that holds what no process did: stages, and what the boot spent its time with. Linux has no such number.
const SUMMARY: u32 = u32::MAX >> 1;
const STAGES: u32 = 1;
const PATH: u32 = 2;

#[derive(Serialize)]
struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
    #[serde(rename = "displayTimeUnit")]
    unit: &'static str,
    #[serde(rename = "otherData")]
    other: Value,
}

#[derive(Serialize)]
struct Event {
    name: String,
    #[serde(rename = "cat", skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(rename = "ph")]
    phase: &'static str,
    #[serde(rename = "ts", skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    #[serde(rename = "dur", skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    pid: u32,
    tid: u32,
    args: Value,
}

/// The whole boot: stages, what it spent its time with, each process with its calls. Events of a thread are in order, the outer first.
pub fn json(boot: &Boot) -> String {
    let mut events = vec![
        metadata("process_name", SUMMARY, 0, "boot"),
        metadata("thread_name", SUMMARY, STAGES, "stages"),
        metadata("thread_name", SUMMARY, PATH, "critical path"),
        metadata("process_name", 1, 0, "init"),
        metadata("thread_name", 1, 1, "init"),
    ];
    for process in &boot.processes {
        events.push(metadata("process_name", process.pid, 0, &process.name));
        events.push(metadata(
            "thread_name",
            process.pid,
            process.pid,
            &process.name,
        ));
    }
    for stage in &boot.stages {
        let state = match stage.state {
            State::Done => "done",
            State::Failed => "failed",
            State::Open => "open",
        };
        let args = json!({ "state": state });
        events.push(complete(
            &stage.name,
            "stage",
            &stage.span,
            (SUMMARY, STAGES),
            args,
        ));
    }
    for segment in &boot.path {
        let category = match segment.what {
            What::Call(_) => "work",
            _ => "wait",
        };
        let args = segment.message.as_ref();
        let args = args.map_or_else(|| json!({}), |message| json!({ "message": message }));
        let name = boot.name(&segment.what);
        events.push(complete(
            &name,
            category,
            &segment.span,
            (SUMMARY, PATH),
            args,
        ));
    }
    let mut traced: Vec<Event> = Vec::new();
    for process in &boot.processes {
        let thread = (process.pid, process.pid);
        let args = process.error();
        let args = args.map_or_else(|| json!({}), |error| json!({ "error": error }));
        traced.push(complete(
            &process.name,
            "process",
            &process.span,
            thread,
            args,
        ));
    }
    for process in &boot.processes {
        if let Some(unpacking) = &process.unpacking {
            let (bytes, packed) = (unpacking.bytes, unpacking.packed);
            let args = json!({ "bytes": bytes, "packed": packed, "error": unpacking.error });
            let thread = (process.pid, process.pid);
            let name = format!("unpack {}", process.name);
            traced.push(complete(&name, "unpack", &unpacking.span, thread, args));
        }
    }
    for call in &boot.calls {
        // Where lines are lost, a call may seem to end after the boot; its process does not.
        let (pid, span) = (
            call.call.pid,
            call.from.min(boot.end)..call.to.min(boot.end),
        );
        let args = json!({ "call": call.call.text(), "result": call.call.result.to_string() });
        traced.push(complete(call.call.name, "call", &span, (pid, pid), args));
    }
    traced.sort_by_key(|event| (event.pid, event.start));
    events.extend(traced);
    let trace = Trace {
        events,
        unit: "ms",
        other: json!({ "kernel": boot.release, "failed": boot.failed.as_ref().map(|(text, _)| text) }),
    };
    serde_json::to_string(&trace).unwrap_or_default()
}

fn metadata(what: &str, pid: u32, tid: u32, name: &str) -> Event {
    Event {
        name: what.to_owned(),
        category: None,
        phase: "M",
        start: None,
        duration: None,
        pid,
        tid,
        args: json!({ "name": name }),
    }
}

fn complete(
    name: &str,
    category: &'static str,
    span: &std::ops::Range<u64>,
    (pid, tid): (u32, u32),
    args: Value,
) -> Event {
    Event {
        name: name.to_owned(),
        category: Some(category),
        phase: "X",
        start: Some(span.start),
        duration: Some(span.end - span.start),
        pid,
        tid,
        args,
    }
}
