//! The init as it ships by default, without the cargo feature `full`: it boots, and refuses what it lacks.

use xtask::disk::{Disk, Recipe};
use xtask::kernels::Series;

use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::{IMAGE, expect};

fn boot() -> Boot {
    Boot {
        initrd: Wanted {
            features: &[],
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
}

#[test]
fn verified() {
    let booted = Boot {
        kernel: Series::Cloud612,
        append: "stage2.read=all",
        ..boot()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn unverified() {
    let booted = Boot {
        recipe: Recipe {
            verity: false,
            ..Recipe::default()
        },
        ..boot()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn several_devices_that_answer() {
    Boot {
        before: vec![Other::new(Content::Twin)],
        ..boot()
    }
    .fails("FAILED stage=device step=ambiguous errno=- subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
}

#[test]
fn names_that_only_a_superblock_has() {
    for words in [
        |disk: &Disk| disk.words_for("UUID=00000000-0000-0000-0000-000000000001"),
        |disk: &Disk| disk.words_for("/dev/disk/by-label/x"),
    ] {
        Boot { words, ..boot() }
            .fails("FAILED stage=verity step=options errno=- subject=verity.usr");
    }
}

#[test]
fn options_that_it_lacks() {
    for (append, option) in [
        ("systemd.verity_usr_options=fec-roots=2", "fec-roots=2"),
        (
            "systemd.verity_usr_options=panic-on-error",
            "panic-on-error",
        ),
        (
            "systemd.verity_usr_options=root-hash-signature=/signature",
            "root-hash-signature=/signature",
        ),
    ] {
        Boot { append, ..boot() }.fails(&format!(
            "FAILED stage=verity step=options errno=- subject={option}"
        ));
    }
}
