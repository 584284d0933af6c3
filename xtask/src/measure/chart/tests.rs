//! A recorded boot (the demo's, with rd.earlytrace; without most calls of the search for hardware), made-up ones, and broken logs.

use roxmltree::Document;

use super::boot::{Boot, State};
use super::path::What;
use super::{draw, json};

const SAMPLE: &str = include_str!("sample.log");

/// Two modules at a time, and a disk.
const MADE_UP: &str = r#"
toehold: [1] +1000010 clock_gettime(1, {0, 10}) = 0 10
toehold: [1] +100 clone(17, NULL, NULL, NULL, NULL) = 50 100
toehold: [50] +120 clone(17, NULL, NULL, NULL, NULL) = 0 120
toehold: [1] +100 clone(17, NULL, NULL, NULL, NULL) = 51 100
toehold: [51] +110 clone(17, NULL, NULL, NULL, NULL) = 0 110
toehold: [50] +80 openat(AT_FDCWD, "/lib/modules/slow<&\x22driver\x22.ko.xz", O_CLOEXEC, 420) = 5 10
toehold: [51] +90 openat(AT_FDCWD, "/lib/modules/quick.ko", O_CLOEXEC, 420) = 5 10
toehold: [51] +600 finit_module(5, "", 0) = 0 600
toehold: [51] +10 exit_group(0) = ? 0
toehold: [1] +800 ppoll(..., 10, {1, 0}, NULL, 0) = 1 800
toehold: [1] +100 wait4(-1, 0, WNOHANG, NULL) = 51 10
toehold: [50] +4700 finit_module(5, "", 0) = ENODEV 4700
toehold: [50] +10 exit_group(19) = ? 0
toehold: [1] +4100 ppoll(..., 10, {1, 0}, NULL, 0) = 1 4100
toehold: [1] +100 wait4(-1, 0, WNOHANG, NULL) = 50 10
toehold: [1] +10 recvfrom(6, ..., 3072, 0, ..., ...) = EAGAIN 5
toehold: [1] +780 mount("a", "b", "btrfs", MS_RDONLY, "") = 0 700
toehold: [1] +1000 ppoll(..., 10, {1, 0}, NULL, 0) = 1 1000
toehold: [1] +10 recvfrom(6, "add@/devices/x/block/vda\x00ACTION=add", 3072, 0, ..., ...) = 40 5
toehold: [1] +100 openat(AT_FDCWD, "/dev/vda", O_CLOEXEC, 420) = 7 100
toehold: [1] +2000 ppoll(..., 10, {1, 0}, NULL, 0) = 0 2000
toehold: [1] +10 clock_gettime(1, {0, 10}) = 0 10
toehold: stage=modules done us=9110
"#;

/// Draws it in both ways, and checks that what comes out is well formed.
fn check(log: &str) -> Option<String> {
    let boot = Boot::read(log).ok()?;
    let picture = draw(&boot);
    let document = Document::parse(&picture).unwrap();
    assert!(
        !document
            .descendants()
            .any(|node| node.has_tag_name("script"))
    );
    labels_are_inside(&document);
    let trace: serde_json::Value = serde_json::from_str(&json(&boot)).unwrap();
    nested(&trace);
    Some(picture)
}

/// Labels do not reach over the edge, even in a font that is wider than most.
fn labels_are_inside(document: &Document) {
    let number =
        |node: roxmltree::Node, name| -> f64 { node.attribute(name).unwrap().parse().unwrap() };
    let paper = number(document.root_element(), "width");
    for label in document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
    {
        let classes: Vec<&str> = label
            .attribute("class")
            .unwrap_or_default()
            .split(' ')
            .collect();
        let (at, text) = (number(label, "x"), label.text().unwrap_or_default());
        let width = 7.2 * text.chars().count() as f64;
        let right = match &classes[..] {
            ["over", ..] => at + width,
            [_, "over", ..] if classes[0] == "right" => at,
            _ => continue,
        };
        assert!(right <= paper, "{text} ends at {right} of {paper}");
    }
}

/// Every event has what its phase asks for; those of a thread are in order, and within each other or apart.
fn nested(trace: &serde_json::Value) {
    let mut open: std::collections::HashMap<(u64, u64), Vec<(u64, u64)>> = Default::default();
    for event in trace["traceEvents"].as_array().unwrap() {
        assert!(event["name"].is_string() && event["args"].is_object());
        let number = |name: &str| event[name].as_u64().unwrap();
        let thread = (number("pid"), number("tid"));
        if event["ph"] == "M" {
            assert!(event["args"]["name"].is_string());
            continue;
        }
        assert_eq!(event["ph"], "X");
        let (from, to) = (number("ts"), number("ts") + number("dur"));
        let stack = open.entry(thread).or_default();
        assert!(stack.last().is_none_or(|last| last.0 <= from), "{event}");
        while stack
            .last()
            .is_some_and(|last| last.1 <= from && *last != (from, to))
        {
            stack.pop();
        }
        assert!(stack.last().is_none_or(|last| to <= last.1), "{event}");
        stack.push((from, to));
    }
}

#[test]
fn a_recorded_boot() {
    let picture = check(SAMPLE).unwrap();
    assert!(picture.contains("btrfs") && picture.contains("Linux 6.1"));
    let boot = Boot::read(SAMPLE).unwrap();
    assert!(boot.unread.is_empty(), "{:?}", boot.unread);
    let names: Vec<&str> = boot
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "kernel-fs",
            "modules",
            "device",
            "verity",
            "usr",
            "stage2",
            "switch-root",
            "hand-over"
        ]
    );
    assert!(boot.stages.iter().all(|stage| stage.state == State::Done));
    let loads = boot
        .processes
        .iter()
        .filter(|process| process.load.is_some());
    assert_eq!(loads.count(), 22);
    let (most, _) = boot.totals()[0];
    assert_eq!(boot.name(most), "btrfs");
}

#[test]
fn the_critical_path() {
    let boot = Boot::read(MADE_UP).unwrap();
    // It has no gaps.
    let mut at = 0;
    for segment in &boot.path {
        assert_eq!(segment.span.start, at);
        at = segment.span.end;
    }
    assert_eq!(at, boot.end);
    let waits: Vec<(String, u64)> = boot
        .path
        .iter()
        .filter(|segment| !matches!(segment.what, What::Call(_)))
        .map(|segment| {
            (
                boot.name(&segment.what),
                segment.span.end - segment.span.start,
            )
        })
        .collect();
    // What the quick one's end led to was only another wait.
    assert_eq!(
        waits,
        [
            ("slow<&\"driver\"".to_owned(), 5000),
            ("vda".to_owned(), 1000),
            ("time out".to_owned(), 2000),
        ]
    );
    let slow = &boot.processes[0];
    assert_eq!(slow.load.as_ref().unwrap().1.as_deref(), Some("ENODEV"));
    let picture = check(MADE_UP).unwrap();
    assert!(picture.contains("slow&lt;&amp;&quot;driver&quot; "));
}

#[test]
fn without_a_trace_and_after_a_failure() {
    let log = "[    1.000000] Run /init as init process\n\
               [    1.000412] toehold: stage=kernel-fs done us=412\n\
               [    3.000000] toehold: FAILED stage=device step=wait errno=ETIMEDOUT subject=LABEL=<x>\n";
    let boot = Boot::read(log).unwrap();
    assert_eq!(boot.end, 2_000_000);
    assert_eq!(boot.stages[1].state, State::Failed);
    assert!(check(log).unwrap().contains("FAILED stage=device"));
    for (log, want) in [
        ("", "no line of Toehold's"),
        ("hello\nworld", "rd.earlytrace"),
        ("toehold: FAILED stage=device step=wait", "printk.time=1"),
        ("toehold: [1] +x", "line 1"),
    ] {
        let error = Boot::read(log).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_boot_that_was_tried_again_is_drawn_from_its_last_start_on() {
    let failed = "toehold: [1] +1000000 getpid() = 1 10
toehold: FAILED stage=device step=wait errno=ETIMEDOUT subject=x
toehold: retry
toehold: [1] +9 execve(\"/init\", ..., ...) = ? 2
";
    let once = check(MADE_UP).unwrap();
    assert_eq!(check(&format!("{failed}{MADE_UP}")).unwrap(), once);
    // The file in /run has no messages.
    let calls = failed
        .replace("toehold: FAILED", "FAILED")
        .replace("toehold: retry\n", "");
    assert_eq!(check(&format!("{calls}{MADE_UP}")).unwrap(), once);
}

#[test]
fn broken_logs_never_panic() {
    for log in [SAMPLE, MADE_UP] {
        let lines: Vec<&str> = log.lines().collect();
        let step = lines.len().div_ceil(60);
        for index in (0..lines.len()).step_by(step) {
            check(&lines[..index].join("\n"));
            check(&lines[index..].join("\n"));
            let without: Vec<&str> = [&lines[..index], &lines[index + 1..]].concat();
            check(&without.join("\n"));
        }
    }
    let huge = u64::MAX;
    check(&format!(
        "toehold: [1] +{huge} getpid() = 1 {huge}\ntoehold: [2] +{huge} clone() = 1 1"
    ));
    check(&format!("toehold: stage=a\u{1}]]> done us={huge}"));
}
