//! What a report says first: whoever reads it after one of these faults finds the cause in five lines.

use xtask::lab::console::Log;
use xtask::lab::qemu::Interface;

use crate::harness::{Boot, see};
use crate::initrds::Wanted;

/// How many lines may be read before the cause is named; the FAILED line is the first.
const FIRST: usize = 5;

/// A fault, and all that those lines have to say of it.
pub struct Fault(&'static str, &'static [&'static str]);

pub const NO_DRIVER: Fault = Fault(
    "the disk's driver is not in the initrd",
    &[
        "subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
        "no driver for virtio:d00000008v",
        "module virtio_scsi: not in this initrd",
    ],
);
pub const NO_FILE: Fault = Fault(
    "the file of the disk's driver is missing",
    &["check driver", "module virtio_blk: ENOENT"],
);
pub const NO_VERITY: Fault = Fault(
    "dm-verity's file is missing",
    &["step=module errno=ENOENT subject=dm-verity", "rebuild"],
);
pub const DAMAGED_GROUP: Fault = Fault(
    "a group of the module pack is damaged",
    &["subject=fs-btrfs", "rebuild", "module group_", ": EBADMSG"],
);
pub const WRONG_IDENTIFIER: Fault = Fault(
    "no partition has the identifier",
    &[
        "subject=PARTUUID=00000000-1111-4222-8333-444444444444",
        "compare devices below",
        " PARTUUID=7130c94a-",
    ],
);
pub const NOWHERE: Fault = Fault(
    "the same, and the kernel's consoles are to be quiet",
    &[
        "subject=PARTUUID=00000000-0000-4000-8000-000000000000",
        "compare devices below",
        " PARTUUID=7130c94a-",
    ],
);
pub const SAME_IDENTIFIERS: Fault = Fault(
    "two disks have the same identifiers, and there is no verity",
    &[
        "step=ambiguous errno=- subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132",
        "several devices answer",
    ],
);
pub const TOO_LATE: Fault = Fault(
    "the disk comes after the time that there was for it",
    &["step=wait errno=ETIMEDOUT", "rd.earlytimeout"],
);
pub const WRONG_ROOT_HASH: Fault = Fault(
    "the root hash is another image's",
    &["step=probe", "wrong root hash", "is corrupted"],
);
pub const DATA_CHANGED: Fault = Fault(
    "the image was changed",
    &["the image was changed", ": data block 0 is corrupted"],
);
pub const TREE_CHANGED: Fault = Fault(
    "the hash tree was changed",
    &["the image was changed", ": metadata block "],
);
pub const NO_SUPERBLOCK: Fault = Fault(
    "there is no verity superblock",
    &["step=superblock errno=- subject=/dev/vda2", "hash-offset"],
);
pub const UNREADABLE: Fault = Fault(
    "the disk cannot be read",
    &[
        "step=data errno=EIO",
        "check the disk",
        "I/O error, dev vda",
    ],
);
pub const NO_ROOT_HASH: Fault = Fault(
    "the command line has no root hash",
    &["step=options errno=- subject=verity.usrhash", "missing"],
);
pub const WRONG_RELEASE: Fault = Fault(
    "the initrd is another kernel's",
    &["kernel 6.12.", "plan 7.2."],
);
pub const WRONG_FILESYSTEM: Fault = Fault(
    "/usr is another filesystem than the command line says",
    &[
        "stage=usr step=mount errno=EINVAL",
        "VFS: Can't find ext4 filesystem",
    ],
);
pub const NO_IMAGE: Fault = Fault(
    "/usr has no stage-2 image",
    &["step=open errno=ENOENT subject=/sysusr/usr/lib/toehold/stage2.img"],
);
pub const NO_INIT: Fault = Fault(
    "stage 2 does not have the program",
    &[
        "step=exec errno=ENOENT subject=/sbin/missing",
        "check usr.init",
    ],
);
pub const NO_PLAN: Fault = Fault(
    "there is no plan",
    &[
        "step=plan errno=ENOENT subject=/toehold.plan",
        "rebuild the initrd",
    ],
);

impl Fault {
    /// Checks that the report in a log names this cause before anything else. The lines are shown by `--nocapture`.
    #[track_caller]
    pub fn is_named(&self, log: &Log) {
        let Self(fault, words) = self;
        let report = log
            .toehold()
            .skip_while(|line| !line.starts_with("FAILED "));
        let first: Vec<&str> = report.take(FIRST).collect();
        let text = first.join("\n");
        println!("{fault}:\n{text}\n");
        for word in *words {
            assert!(text.contains(word), "{fault}: no \"{word}\" in\n{text}");
        }
    }
}

#[test]
fn driver_not_in_the_initrd() {
    let outcome = Boot {
        initrd: Wanted {
            settings: "modules.names = ['virtio_pci', 'virtio_blk', 'fs-ext4']",
            ..Wanted::DEMO
        },
        interface: Interface::VirtioScsi,
        append: "rd.earlytimeout=8",
        ..Boot::default()
    }
    .fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
    NO_DRIVER.is_named(&outcome.log);
}

#[test]
fn no_init_in_stage2() {
    let outcome = Boot {
        initrd: Wanted {
            settings: "usr.init = '/sbin/missing'",
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
    .fails("FAILED stage=switch-root step=exec errno=ENOENT subject=/sbin/missing");
    NO_INIT.is_named(&outcome.log);
}

/// It is not waited for what follows, which without a plan is a reboot after a minute.
#[test]
fn no_plan() {
    let ready = Boot {
        initrd: Wanted {
            without: "toehold.plan",
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
    .ready();
    let mut running = ready.start();
    see(&mut running, "toehold: kernel 6.1.");
    NO_PLAN.is_named(running.log());
}
