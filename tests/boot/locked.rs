//! A locked profile against its command line: whatever is tried, what boots is verified, or nothing boots.

use uuid::Uuid;
use xtask::lab::disk::{self, Disk};
use xtask::lab::qemu::Interface;
use xtask::lab::tools;

use crate::harness::{Boot, Ready, locked_to, recipe};
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::{IMAGE, expect};

/// What comes of an attempt.
enum Outcome {
    /// This line, from `step=` on, in stage verity.
    Refused(&'static str),
    /// The same, in another stage.
    Fails(&'static str),
    /// The device is the one whose PARTUUID the root hash begins with, and there is none.
    Nowhere,
    /// A boot like any other, with the root hash and the policy of the profile.
    Verified,
}

use Outcome::{Fails, Nowhere, Refused, Verified};

/// A bootable /usr without verity on the disk that the attempts are about: the second.
const OTHER_PARTUUID: &str = "0a1b2c3d-2222-4222-8333-0a1b2c3d4e5f";
const UNPROTECTED: Content = Content::Changed(|disk| {
    disk.flip(disk.bait().expect("bait")).expect("damage");
    let mut sgdisk = tools::SGDISK.command().expect("sgdisk");
    sgdisk.arg(format!("--partition-guid=2:{OTHER_PARTUUID}"));
    sgdisk.arg("--change-name=2:OTHER");
    tools::run(sgdisk.arg(&disk.path)).expect("another PARTUUID");
});

/// Boots with `WORDS`, which stand for the disk's own, replaced in `line`, and checks what comes of it.
fn attempt(line: &str, outcome: Outcome) {
    let disk = disk::make(&recipe()).expect("a disk");
    let line = line.replace("WORDS", &disk.words());
    eprintln!("{line}");
    let boot = Boot {
        initrd: Wanted {
            settings: locked_to(&recipe()),
            ..Wanted::DEMO
        },
        after: vec![Other {
            interface: Interface::VirtioBlk,
            ..Other::new(UNPROTECTED)
        }],
        words: |_: &Disk| String::new(),
        append: format!("rd.earlytimeout=5 {line}").leak(),
        cpus: 1,
        ..Boot::default()
    };
    let ready: Ready = boot.ready();
    let running = ready.start();
    match outcome {
        Verified => {
            let booted = ready.stage2(running);
            expect::everything(&booted, IMAGE);
            // Nothing of the command line reaches stage 2 through the init.
            assert_eq!(booted.report.argv, ["/init"]);
            assert_eq!(booted.report.environment, [""; 0]);
        }
        Refused(rest) => drop(ready.fails(running, &format!("FAILED stage=verity {rest}"))),
        Nowhere => {
            let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
            let partuuid = Uuid::try_parse(&root_hash[..32]).expect("half a SHA-256");
            let line = format!(
                "FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID={partuuid}"
            );
            drop(ready.fails(running, &line));
        }
        Fails(line) => drop(ready.fails(running, line)),
    }
}

/// Makes one test of each attempt.
macro_rules! attempts {
    ($($when:tt $name:ident $line:literal $outcome:expr;)*) => {$(
        a_test! { $when $name attempt($line, $outcome) }
    )*};
}

const NO_ROOT_HASH: Outcome = Refused("step=options errno=- subject=verity.usrhash");
const NO_OPTIONS: Outcome = Refused("step=options errno=- subject=systemd.verity_usr_options");
const NOT_MOUNTED: Outcome = Refused("step=options errno=- subject=mount.usr");
const NO_FLAGS: Outcome = Refused("step=options errno=- subject=mount.usrflags");
const NO_FSTYPE: Outcome = Refused("step=options errno=- subject=mount.usrfstype");

attempts! {
    [] the_disks_own_words "WORDS" Verified;
    [also] no_root_hash_but_the_pinned_one "verity.usr=PARTLABEL=USR-A" Verified;

    // No verification at all.
    [] a1_no_word_that_says_where "usr=/dev/mapper/usr" Nowhere;
    [also] a2_unprotected_partition "usr=/dev/vdb2" NOT_MOUNTED;
    [] a3_unprotected_partition_pinned "mount.usr=PARTUUID=0a1b2c3d-2222-4222-8333-0a1b2c3d4e5f" NOT_MOUNTED;
    [] a4_mount_what_is_not_verified "WORDS mount.usr=/dev/vdb2" NOT_MOUNTED;
    [also] a5_by_another_name_in_quotes "WORDS \"usr=/dev/vdb2\"" NOT_MOUNTED;
    [] a6_root_hash_emptied "WORDS verity.usrhash=" NO_ROOT_HASH;
    [also] a7_root_hash_emptied_by_another_name "WORDS usrhash=\"\"" NO_ROOT_HASH;

    // Verification of something else.
    [] a8_another_root_hash
        "WORDS usrhash=0000000000000000000000000000000000000000000000000000000000000000" NO_ROOT_HASH;
    [also] a9_root_hash_cut "WORDS verity.usrhash=00" NO_ROOT_HASH;
    [] a10_another_device "WORDS verity.usr=/dev/vdb3"
        Refused("step=superblock errno=EIO subject=/dev/vdb3");
    [] a11_tampered_device_by_path "WORDS verity.usr=/dev/vdb2" Verified;
    [also] a12_another_tree "WORDS systemd.verity_usr_hash=/dev/vdb3"
        Refused("step=superblock errno=- subject=/dev/vda2");

    // A weaker policy.
    [] a13_corruption_ignored "WORDS systemd.verity_usr_options=ignore-corruption" NO_OPTIONS;
    [also] a14_corruption_ignored_in_quotes
        "WORDS systemd.verity_usr_options=\"ignore-corruption,panic-on-corruption\"" NO_OPTIONS;
    [also] a15_fewer_blocks_checked "WORDS systemd.verity_usr_options=check-at-most-once" NO_OPTIONS;
    [also] a16_no_superblock "WORDS systemd.verity_usr_options=superblock=0,data-blocks=1" NO_OPTIONS;
    [also] a17_options_without_a_value "WORDS systemd.verity_usr_options" NO_OPTIONS;

    // Another filesystem behind the verified one's name.
    [] a18_device_smuggled_into_btrfs "WORDS mount.usrflags=ro,device=/dev/vdb2" NO_FLAGS;
    [] a19_filesystem_without_a_device
        "WORDS usrfstype=tmpfs" NO_FSTYPE;
    [also] a20_writable "WORDS mount.usrflags=rw" NO_FLAGS;

    // Without what verifies, or after the end of it all.
    [] a21_verity_kept_from_loading "WORDS module_blacklist=dm_verity"
        Refused("step=module errno=EPERM subject=dm-verity");
    [] a22_shell_and_init
        "WORDS rd.shell=1 init=/bin/sh LD_PRELOAD=/x single -- mount.usr=/dev/vdb2" Verified;
    [] a26_words_that_are_nearly_right "WORDS verity.userhash=00"
        Refused("step=options errno=- subject=verity.userhash");
    [also] a27_verity_kept_from_its_hardware "WORDS modprobe.blacklist=dm_verity"
        Refused("step=options errno=- subject=modprobe.blacklist");
    [also] a28_words_for_another_mode "WORDS roothash=00 systemd.verity_root_options=ignore-corruption" Verified;
    [] a24_breakpoints "WORDS rd.earlyshell" Refused("step=options errno=- subject=rd.earlyshell");
    [also] a25_another_policy "WORDS rd.emergency=shell" Refused("step=options errno=- subject=rd.emergency");
    [] a23_partition_that_is_not_there
        "WORDS verity.usr=PARTLABEL=NOWHERE"
        Fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTLABEL=NOWHERE");
}
