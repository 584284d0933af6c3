//! The targets of the suite `hostile`, for libFuzzer.

pub use libfuzzer_sys;
pub use toehold_samples::{filesystem, pack, plan, tables, verity, words};

use toehold_samples::target::{Random, Target};

/// Makes a new input for libFuzzer of `len` bytes in `data`, which has room for `room`; returns its length. Some are
/// libFuzzer's own, some are good ones, most are the structured mutations of [`Target::mutate`].
pub fn next(target: &Target, data: &mut [u8], len: usize, room: usize, seed: u32) -> usize {
    let mut random = Random(seed.into());
    let mut bytes = match random.below(16) {
        0 => {
            let seeds = (target.seeds)();
            seeds[random.below(seeds.len())].clone()
        }
        1..6 => return libfuzzer_sys::fuzzer_mutate(data, len, room),
        _ => data[..len].to_vec(),
    };
    target.mutate(&mut random, &mut bytes);
    bytes.truncate(room.min(data.len()));
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

/// Makes libFuzzer's entry points for a target.
#[macro_export]
macro_rules! fuzz {
    ($target:expr) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ($target.check)(bytes));
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                              size: usize,
                                              max_size: usize,
                                              seed: u32| {
            $crate::next(&$target, data, size, max_size, seed)
        });
    };
}
