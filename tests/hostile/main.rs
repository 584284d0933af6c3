//! Every truncation, every flipped bit and many mutations of what comes from outside: no panic, and nothing that cannot be right.
//!
//! The same targets are run by libFuzzer from tests/fuzz.

use std::io::Write;

use toehold_samples::target::Target;
use toehold_samples::{filesystem, pack, plan, tables, verity, words};

/// Structured mutations of each.
const MUTATIONS: usize = 100_000;
/// Of one that takes minutes with all of them, without `--all`.
const FEW: usize = 2_000;

fn sweep(target: &Target, mutations: usize) {
    let tried = target.sweep(mutations);
    // Not through `println!`, which the test runner keeps to itself when all is well.
    writeln!(std::io::stderr(), "{}: {tried} inputs", target.name).expect("standard error");
}

/// Makes one test of each target.
macro_rules! sweep {
    ($($name:ident $target:expr;)*) => {$(
        #[test]
        fn $name() {
            sweep(&$target, MUTATIONS);
        }
    )*};
}

sweep! {
    sweep_gpt tables::GPT;
    sweep_mbr tables::MBR;
    sweep_filesystem filesystem::FILESYSTEM;
    sweep_verity verity::VERITY;
    sweep_options verity::OPTIONS;
    sweep_uevent words::UEVENT;
    sweep_spec words::SPEC;
    sweep_facts words::FACTS_OF_A_DEVICE;
    sweep_cmdline words::CMDLINE;
    sweep_plan plan::PLAN;
    sweep_pack pack::PACK;
}

#[test]
#[ignore = "slow: whole groups of modules are unpacked"]
fn sweep_streams() {
    sweep(&pack::STREAMS_OF_A_GROUP, MUTATIONS);
}

#[test]
fn sweep_streams_in_places() {
    sweep(&pack::STREAMS_OF_A_GROUP, FEW);
}
