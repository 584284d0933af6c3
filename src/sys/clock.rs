//! Time.

use super::call::value2;
use linux_raw_sys::general::{__NR_clock_gettime, CLOCK_MONOTONIC, timespec};

/// Microseconds since some point before the start; never goes back.
pub fn now() -> u64 {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec to be written. The call cannot fail with a clock that every
    // kernel has.
    let _ = unsafe {
        value2(
            __NR_clock_gettime,
            CLOCK_MONOTONIC as usize,
            &raw mut time as usize,
        )
    };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}
