//! What a boot came to, as a table for people.

use std::fmt::Write;
use std::time::Duration;

use toehold_stage2::Report;

use crate::lab::console::Log;

/// Columns of two, the second right-aligned: stages with their own milliseconds and the sum; then what stage 2 saw.
pub fn boot(log: &Log, report: &Report) -> String {
    let mut text = String::new();
    let mut row = |left: &str, right: &str| {
        let line = format!("{left:<14}  {right}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let mut before = Duration::ZERO;
    row("stage", &format!("{:>9}  {:>11}", "ms", "since start"));
    for stage in log.stages() {
        let own = stage.at.saturating_sub(before);
        row(
            &stage.name,
            &format!("{:>9}  {:>11}", milliseconds(own), milliseconds(stage.at)),
        );
        before = stage.at;
    }
    if let Some(at) = log.stage2() {
        row(
            "stage 2 runs",
            &format!("{:>9}  {:>11}", "", milliseconds(at)),
        );
    }
    row("", "");
    row(
        "stage 2 saw",
        &format!("Linux {}, as PID {}", report.release, report.pid),
    );
    for point in ["/", "/sysusr/usr"] {
        if let Some(mount) = report.mount(point) {
            let state = if mount.options.iter().any(|option| option == "ro") {
                "read-only"
            } else {
                "writable"
            };
            row(
                point,
                &format!("{} from {}, {state}", mount.fstype, mount.source),
            );
        }
    }
    let verity = report.verity();
    let field = |name: &str| verity.get(name).map_or("-", String::as_str);
    row(
        "verity",
        &format!("{}, root hash {}", field("status"), field("root hash")),
    );
    row("modules", &report.modules.len().to_string());
    let mebibytes = |field: &str| report.memory(field) / 1024;
    row(
        "memory",
        &format!(
            "{} MiB free of {} MiB",
            mebibytes("MemFree"),
            mebibytes("MemTotal")
        ),
    );
    text
}

/// `12.3`
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
