//! The size gate: passes within the budget, and fails on an overrun saying what weighs most.

use std::{
    fs,
    process::{Command, Output},
};

use xtask::arch::Arch;

/// `xtask size` with these limits for the init.
fn size(raw: usize, zstd: usize, arguments: &[&str]) -> Output {
    let room = tempfile::tempdir().unwrap();
    let budget = room.path().join("budget.toml");
    let limits = format!(
        "[init]\nraw = {{ limit = {raw}, reason = \"a reason\" }}\nzstd = {{ limit = {zstd}, reason = \"another\" }}\n"
    );
    fs::write(&budget, limits).unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["size", "--budget"])
        .arg(&budget)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn within_the_budget() {
    let output = size(1 << 20, 1 << 20, &["--json"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = |value: &serde_json::Value| value.as_u64().unwrap();
    let total = &report["init"]["total"];
    let ships = fs::metadata(xtask::paths::init(Arch::X86_64, &[]))
        .unwrap()
        .len();
    assert_eq!(bytes(&total["raw"]), ships);
    assert!(bytes(&total["zstd"]) < ships);
    let with = report["with"].as_array().unwrap();
    let features = xtask::commands::build::FEATURES;
    assert_eq!(with.len(), features.len() + 1);
    for (more, feature) in with.iter().zip(features) {
        assert_eq!(more["name"], feature);
        let built = fs::metadata(xtask::paths::init(Arch::X86_64, &[feature])).unwrap();
        assert_eq!(bytes(&more["raw"]), built.len());
        assert!(built.len() > ships, "{feature}");
        assert!(bytes(&more["zstd"]) < built.len());
    }
    let sections = report["init"]["sections"].as_array().unwrap();
    let in_file: u64 = sections
        .iter()
        .map(|section| bytes(&section["bytes"]))
        .sum();
    // The rest is the ELF header and the program headers.
    assert!(
        (ships - 1024..ships).contains(&in_file),
        "{in_file} of {ships}"
    );
}

#[test]
fn over_the_budget() {
    let output = size(1000, 1 << 20, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let over = |name: &str, arch| {
        let ships = fs::metadata(xtask::paths::init(arch, &[])).unwrap().len() as usize;
        let grouped = xtask::size::report::grouped;
        format!(
            "over budget: {name} (raw) takes {} bytes, {} more than its limit of 1,000\n  the limit: a reason\n",
            grouped(ships),
            grouped(ships - 1000)
        )
    };
    let first = over("init", Arch::X86_64) + &over("init for aarch64", Arch::Aarch64);
    let worst = stderr
        .strip_prefix(&first)
        .unwrap_or_else(|| panic!("{stderr}\nlacks\n{first}"));
    let mut lines = worst.lines();
    assert_eq!(
        lines.next(),
        Some("the symbols of the init that weigh most:")
    );
    let symbols: Vec<usize> = lines
        .skip(1)
        .map(|line| {
            line.split_whitespace()
                .next_back()
                .unwrap()
                .replace(',', "")
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(symbols.len(), 10);
    assert!(
        symbols.is_sorted_by(|one, other| one >= other),
        "{symbols:?}"
    );
}

#[test]
fn a_broken_budget_is_no_verdict() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["size", "--budget", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: budget /nonexistent: "));
}
