//! A recorded boot (the demo's, with rd.earlytrace; without most calls of the search for hardware), made-up ones, and broken logs.

use roxmltree::Document;

use super::boot::{Boot, Process, State};
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

/// A group of the module pack that is unpacked, one that is damaged, and one that another process had unpacked; then a module of the first.
const GROUPS: &str = r#"
toehold: [1] +1000010 clock_gettime(1, {0, 10}) = 0 10
toehold: [1] +90 clone(17, NULL, NULL, NULL, NULL) = 60 90
toehold: [60] +100 clone(17, NULL, NULL, NULL, NULL) = 0 100
toehold: [60] +20 openat(AT_FDCWD, "/lib/modules/group_3", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = 7 20
toehold: [60] +30 flock(7, LOCK_EX) = 0 30
toehold: [60] +10 fstat(7, ...) = 0 10
toehold: [60] +20 openat(AT_FDCWD, "/toehold.pack", O_RDONLY|O_CLOEXEC, 420) = 8 20
toehold: [60] +30000 openat(AT_FDCWD, "/lib/modules/loop.ko", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = 9 10
toehold: [60] +2000 write(9, "\x7fELF", 900000) = 900000 50
toehold: [60] +10 openat(AT_FDCWD, "/lib/modules/btrfs.ko", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = 10 10
toehold: [60] +5900 write(10, "\x7fELF", 2000000) = 2000000 60
toehold: [60] +10 write(7, "1", 1) = 1 10
toehold: [60] +10 exit_group(0) = ? 0
toehold: [1] +38000 clone(17, NULL, NULL, NULL, NULL) = 61 90
toehold: [61] +38100 clone(17, NULL, NULL, NULL, NULL) = 0 100
toehold: [61] +20 openat(AT_FDCWD, "/lib/modules/group_12", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = 7 20
toehold: [61] +2400 exit_group(74) = ? 0
toehold: [1] +3000 clone(17, NULL, NULL, NULL, NULL) = 62 90
toehold: [62] +3010 clone(17, NULL, NULL, NULL, NULL) = 0 100
toehold: [62] +90 openat(AT_FDCWD, "/lib/modules/group_0", O_WRONLY|O_CREAT|O_CLOEXEC, 420) = 7 20
toehold: [62] +10 flock(7, LOCK_EX) = 0 10
toehold: [62] +10 exit_group(0) = ? 0
toehold: [1] +3000 clone(17, NULL, NULL, NULL, NULL) = 63 90
toehold: [63] +3010 clone(17, NULL, NULL, NULL, NULL) = 0 100
toehold: [63] +90 openat(AT_FDCWD, "/lib/modules/loop.ko", O_RDONLY|O_CLOEXEC, 420) = 7 20
toehold: [63] +800 finit_module(7, "", 0) = 0 800
toehold: [63] +10 exit_group(0) = ? 0
toehold: [1] +2000 ppoll(..., 10, {1, 0}, NULL, 0) = 1 2000
toehold: stage=modules done us=50000
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
    let groups = boot
        .processes
        .iter()
        .filter_map(|process| process.unpacking.as_ref());
    let groups: Vec<usize> = groups.map(|unpacking| unpacking.group).collect();
    assert_eq!(groups, [0, 1, 3, 5, 6, 7, 4]);
    // What is waited for; where the host is busy, the trace itself takes longer than any.
    let totals = boot.totals();
    let mut waits = totals
        .iter()
        .filter(|(what, _)| !matches!(what, What::Call(_)));
    assert_eq!(boot.name(waits.next().unwrap().0), "btrfs");
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
fn groups_of_the_module_pack() {
    let labels =
        |boot: &Boot| -> Vec<String> { boot.processes.iter().map(Process::label).collect() };
    let mut boot = Boot::read(GROUPS).unwrap();
    assert!(boot.unread.is_empty(), "{:?}", boot.unread);
    let others = [
        "group 12, 2.52 ms, EBADMSG",
        "group 0, 0.21 ms",
        "loop 1.00 ms",
    ];
    let found = labels(&boot);
    assert_eq!(found[0], "group 3, 2.9 MB, 38.1 ms");
    assert_eq!(found[1..], others);

    let item = |path: &str, group: Option<usize>, packed_bytes: Option<usize>| serde_json::json!({ "path": path, "kind": "module", "bytes": 1, "why": "x", "group": group, "packed_bytes": packed_bytes });
    let manifest = serde_json::json!({
        "release": "6.1", "arch": "x86_64", "profile": "p", "missing_firmware": [], "warnings": [],
        "totals": { "modules": 3, "module_bytes": 1, "aliases": 0, "firmware": 0, "firmware_bytes": 0, "archive_bytes": 1, "compressed_bytes": 1 },
        "builtin": { "names": [], "aliases": [] },
        "entries": [item("loop.ko", Some(3), Some(12_400)), item("btrfs.ko", Some(3), Some(400_000)), item("init", None, None)],
    });
    boot.tell_packed(&serde_json::from_value(manifest).unwrap());
    let found = labels(&boot);
    assert_eq!(found[0], "group 3: 412 KB to 2.9 MB, 38.1 ms");
    assert_eq!(found[1..], others);

    let picture = check(GROUPS).unwrap();
    assert!(picture.contains("1 module load  ·  3 groups unpacked"));
    assert!(picture.contains(">group 3, 2.9 MB, 38.1 ms<"));
    let drawn = draw(&boot);
    let document = Document::parse(&drawn).unwrap();
    labels_are_inside(&document);
    let bars = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("unpack"));
    assert_eq!(bars.count(), 4, "one is in the legend");

    let trace: serde_json::Value = serde_json::from_str(&json(&boot)).unwrap();
    nested(&trace);
    let events = trace["traceEvents"].as_array().unwrap().iter();
    let unpacked: Vec<_> = events.filter(|event| event["cat"] == "unpack").collect();
    assert_eq!(unpacked.len(), 3);
    assert_eq!(unpacked[0]["name"], "unpack group 3");
    assert_eq!(unpacked[0]["dur"], 37_940);
    let args = serde_json::json!({ "bytes": 2_900_000, "packed": 412_400, "error": null });
    assert_eq!(unpacked[0]["args"], args);
    assert_eq!(unpacked[1]["args"]["error"], "EBADMSG");
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
    for log in [SAMPLE, MADE_UP, GROUPS] {
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
