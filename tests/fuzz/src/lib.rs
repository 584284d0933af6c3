//! The targets of tests/hostile, for libFuzzer.

#[path = "../../hostile/filesystem.rs"]
pub mod filesystem;
#[path = "../../hostile/plan.rs"]
pub mod plan;
#[path = "../../parsers/samples.rs"]
pub mod samples;
#[path = "../../hostile/tables.rs"]
pub mod tables;
#[path = "../../hostile/target.rs"]
pub mod target;
#[path = "../../hostile/verity.rs"]
pub mod verity;
#[path = "../../hostile/words.rs"]
pub mod words;

use target::{Random, Target};

impl Target {
    /// Makes a new input for libFuzzer of `len` bytes in `data`, which has room for `room`; returns its length. Some are
    /// libFuzzer's own, some are good ones, most are the structured mutations of [`Target::mutate`].
    pub fn next(&self, data: &mut [u8], len: usize, room: usize, seed: u32) -> usize {
        let mut random = Random(seed.into());
        let mut bytes = match random.below(16) {
            0 => {
                let seeds = (self.seeds)();
                seeds[random.below(seeds.len())].clone()
            }
            1..6 => return libfuzzer_sys::fuzzer_mutate(data, len, room),
            _ => data[..len].to_vec(),
        };
        self.mutate(&mut random, &mut bytes);
        bytes.truncate(room.min(data.len()));
        data[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }
}

/// Makes libFuzzer's entry points for a target.
#[macro_export]
macro_rules! fuzz {
    ($target:expr) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ($target.check)(bytes));
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $target.next(data, size, max_size, seed)
        });
    };
}
