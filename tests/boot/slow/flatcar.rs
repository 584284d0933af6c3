//! Flatcar's other slot, on another kernel.

use xtask::lab::kernels::Series;

use crate::flatcar::{boot, slot_b};

#[test]
#[ignore = "slow: another initrd with every driver"]
fn slot_b_linux_6_12() {
    boot(Series::Cloud612, slot_b, "/dev/vda4");
}
