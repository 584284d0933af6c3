//! A locked profile against its command line: whatever is tried, what boots is verified, or nothing boots.

use xtask::lab::disk::{self, Disk};
use xtask::lab::qemu::Interface;
use xtask::lab::tools;

use crate::harness::{Boot, Ready, recipe};
use crate::initrds::Wanted;
use crate::others::{Content, Other};
use crate::{IMAGE, expect};

/// What comes of an attempt.
enum Outcome {
    /// This line, from `step=` on, in stage verity.
    Refused(&'static str),
    /// The same, in another stage.
    Fails(&'static str),
    /// A boot like any other, with the root hash and the policy of the profile.
    Verified,
}

use Outcome::{Fails, Refused, Verified};

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
fn attempt(pinned: bool, line: &str, outcome: Outcome) {
    let disk = disk::make(&recipe()).expect("a disk");
    let verity = disk.verity.as_ref().expect("verity");
    let mut settings = "cmdline.locked = true".to_owned();
    if pinned {
        settings += &format!("\nverity.root_hash = '{}'", verity.root_hash);
    }
    let line = line.replace("WORDS", &disk.words());
    eprintln!("{line}");
    let boot = Boot {
        initrd: Wanted {
            settings: settings.leak(),
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
        Verified => expect::everything(&ready.stage2(running), IMAGE),
        Refused(rest) => drop(ready.fails(running, &format!("FAILED stage=verity {rest}"))),
        Fails(line) => drop(ready.fails(running, line)),
    }
}

/// Makes one test of each attempt.
macro_rules! attempts {
    ($($name:ident $pinned:literal $line:literal $outcome:expr;)*) => {$(
        #[test]
        fn $name() {
            attempt($pinned, $line, $outcome);
        }
    )*};
}

const NO_ROOT_HASH: Outcome = Refused("step=options errno=- subject=verity.usrhash");
const NO_OPTIONS: Outcome = Refused("step=options errno=- subject=systemd.verity_usr_options");
const NOT_MOUNTED: Outcome = Refused("step=options errno=- subject=mount.usr");
const NO_FLAGS: Outcome = Refused("step=options errno=- subject=mount.usrflags");
const NO_FSTYPE: Outcome = Refused("step=options errno=- subject=mount.usrfstype");

attempts! {
    the_disks_own_words false "WORDS" Verified;
    the_disks_own_words_and_a_pinned_root_hash true "WORDS" Verified;

    // No verification at all.
    a1_no_word_at_all false "" NO_ROOT_HASH;
    a2_unprotected_partition false "mount.usr=PARTUUID=0a1b2c3d-2222-4222-8333-0a1b2c3d4e5f" NO_ROOT_HASH;
    a3_unprotected_partition_pinned true "mount.usr=PARTUUID=0a1b2c3d-2222-4222-8333-0a1b2c3d4e5f" NOT_MOUNTED;
    a4_mount_what_is_not_verified false "WORDS mount.usr=/dev/vdb2" NOT_MOUNTED;
    a5_by_another_name_in_quotes false "WORDS \"usr=/dev/vdb2\"" NOT_MOUNTED;
    a6_root_hash_emptied false "WORDS verity.usrhash=" NO_ROOT_HASH;
    a7_root_hash_emptied_by_another_name true "WORDS usrhash=\"\"" NO_ROOT_HASH;

    // Verification of something else.
    a8_another_root_hash true
        "WORDS usrhash=0000000000000000000000000000000000000000000000000000000000000000" NO_ROOT_HASH;
    a9_root_hash_cut true "WORDS verity.usrhash=00" NO_ROOT_HASH;
    a10_another_device true "WORDS verity.usr=/dev/vdb3"
        Refused("step=superblock errno=EIO subject=/dev/vdb3");
    a11_tampered_device_by_path true "WORDS verity.usr=/dev/vdb2" Verified;
    a12_another_tree true "WORDS systemd.verity_usr_hash=/dev/vdb3"
        Refused("step=superblock errno=- subject=/dev/vda2");

    // A weaker policy.
    a13_corruption_ignored false "WORDS systemd.verity_usr_options=ignore-corruption" NO_OPTIONS;
    a14_corruption_ignored_in_quotes true
        "WORDS systemd.verity_usr_options=\"ignore-corruption,panic-on-corruption\"" NO_OPTIONS;
    a15_fewer_blocks_checked true "WORDS systemd.verity_usr_options=check-at-most-once" NO_OPTIONS;
    a16_no_superblock true "WORDS systemd.verity_usr_options=superblock=0,data-blocks=1" NO_OPTIONS;
    a17_options_without_a_value true "WORDS systemd.verity_usr_options" Verified;

    // Another filesystem behind the verified one's name.
    a18_device_smuggled_into_btrfs true "WORDS mount.usrflags=ro,device=/dev/vdb2" NO_FLAGS;
    a19_filesystem_without_a_device true
        "WORDS usrfstype=tmpfs" NO_FSTYPE;
    a20_writable true "WORDS mount.usrflags=rw" NO_FLAGS;

    // Without what verifies, or after the end of it all.
    a21_verity_kept_from_loading true "WORDS module_blacklist=dm_verity"
        Refused("step=module errno=EPERM subject=dm-verity");
    a22_shell_and_init true
        "WORDS rd.shell=1 init=/bin/sh -- mount.usr=/dev/vdb2" Verified;
    a24_breakpoints false "WORDS rd.earlyshell" Refused("step=options errno=- subject=rd.earlyshell");
    a25_another_policy true "WORDS rd.emergency=shell" Refused("step=options errno=- subject=rd.emergency");
    a23_partition_that_is_not_there true
        "WORDS verity.usr=PARTLABEL=NOWHERE"
        Fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTLABEL=NOWHERE");
}
