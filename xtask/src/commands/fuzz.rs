//! `cargo xtask fuzz`: libFuzzer on the parsers, for as long as wanted.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use builder::{arch::Arch, message};

use super::print;
use crate::Verdict;
use crate::lab::{paths, tools};

#[derive(clap::Args)]
pub struct Args {
    /// Targets, as `gpt`; all of them where none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to run each
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

/// What makes the compiler count which edges of the program a run takes, and which values it compares. No sanitizer: there is no unsafe code.
///
/// Source: clang's SanitizerCoverage, of which LLVM's pass is part of rustc.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing";

/// The longest input, in bytes: a small disk.
const LONGEST: &str = "-max_len=32768";

pub fn run(args: Args) -> Result<Verdict> {
    let known = targets()?;
    for name in &args.targets {
        ensure!(
            known.contains(name),
            "no target is called {name}; there are {}",
            known.join(", ")
        );
    }
    tools::require(&[tools::GXX])?;
    let folder = paths::root().join("tests/fuzz");
    let target = paths::root().join("target/fuzz");
    let triple = Arch::default().target();
    let status = Command::new(paths::cargo())
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--bins",
            "--target",
            triple,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", COVERAGE)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "the targets do not compile; cargo's messages stand above"
    );
    let mut failed = Vec::new();
    let chosen = if args.targets.is_empty() {
        &known
    } else {
        &args.targets
    };
    for name in chosen {
        print(format_args!("== {name}, {} s\n", args.seconds))?;
        let artifacts = paths::output().join("fuzz").join(name);
        std::fs::create_dir_all(&artifacts)?;
        // What is read of a command line stays, as in the init: memory has no limit.
        let status = Command::new(target.join(triple).join("release").join(name))
            .args([LONGEST, "-rss_limit_mb=0", "-print_final_stats=1"])
            .arg(format!("-max_total_time={}", args.seconds))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .current_dir(&artifacts)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start {name}"))?;
        if !status.success() {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(Verdict::Pass);
    }
    message::error(format_args!(
        "failed: {}; the inputs lie in target/toehold/fuzz",
        failed.join(", ")
    ));
    Ok(Verdict::Fail)
}

/// The names of all targets: those of the files in `tests/fuzz/fuzz_targets`.
pub fn targets() -> Result<Vec<String>> {
    let folder = paths::root().join("tests/fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.push(name.context("a target without a name")?.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}
