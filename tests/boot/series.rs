//! What the init makes of newer kernels: pivot_root from the initramfs, erofs without a loop device, PARTUUID as the kernel tells it.

use xtask::lab::disk::{Filesystem, Recipe};
use xtask::lab::kernels::Series;
use xtask::measure::trace::{self, Call, Outcome};

use crate::harness::Boot;
use crate::{IMAGE, expect};

pub fn generations(kernel: Series) {
    let booted = Boot {
        kernel,
        recipe: Recipe {
            usr: Filesystem::Erofs,
            stage2: Filesystem::Erofs,
            ..Recipe::default()
        },
        append: "rd.earlytrace=file log_buf_len=1M",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);

    let lines = booted.report.files["/run/toehold/trace"].lines();
    let all: Vec<Call> = lines.filter_map(|line| trace::parse(line)?.ok()).collect();
    let calls: Vec<&Call> = all.iter().filter(|call| call.pid == 1).collect();
    let result = |name: &str| {
        let mut calls = calls.iter().filter(|call| call.name == name);
        let found = calls.next().map(|call| call.result);
        assert!(calls.next().is_none(), "{name} twice");
        found
    };
    let attached = calls
        .iter()
        .any(|call| call.text().contains("LOOP_CONFIGURE"));
    // Direct: by the way that only newer kernels know.
    let (pivots, mounts, tells) = match kernel.version() {
        "6.1" => (false, false, false),
        "6.12" => (false, true, false),
        _ => (true, true, true),
    };
    let done = Some(Outcome::Value(0));
    if pivots {
        assert_eq!((result("pivot_root"), result("chroot")), (done, None));
    } else {
        let refused = Some(Outcome::Errno("EINVAL"));
        assert_eq!((result("pivot_root"), result("chroot")), (refused, done));
    }
    assert_eq!(attached, !mounts, "an image on a loop device");
    // The partition's name is asked of its disk's table, by a child, where the kernel does not tell it.
    let search = all
        .iter()
        .take_while(|call| !call.text().contains("stage=device done"));
    let mut paths = search.filter_map(|call| call.path(1));
    assert_eq!(paths.any(|path| path.ends_with("/../uevent")), !tells);
}
on_three_kernels! { generations }
