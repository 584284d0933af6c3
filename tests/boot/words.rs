//! Words of the command line as people write them: in quotes, with escapes and suffixes, in other spellings, at the end of a long line. What is
//! nearly right is refused by its name.

use xtask::lab::disk::{Disk, Recipe};
use xtask::lab::qemu::Running;
use xtask::lab::tools;

use crate::harness::{Boot, Booted, recipe, see};
use crate::initrds::Wanted;
use crate::rescue::open;
use crate::{IMAGE, expect};

/// Options that mount(8) or systemd would keep to themselves, and those that say what the kernel does anyhow.
const OF_USER_SPACE: &str =
    "ro,nofail,x-systemd.device-timeout=0,suid,dev,exec,auto,nouser,async,_netdev";

/// As many bytes as a command line has on x86-64 and aarch64, less its end (COMMAND_LINE_SIZE), and less what the harness has before it.
const LONG: usize = 2000;

/// The disk's words but for its SPEC, and where verity's superblock is, behind so many words that the line is as long as one can be,
/// with every blank that the kernel takes.
fn long(disk: &Disk, spec: &str) -> String {
    let verity = disk.verity.as_ref().expect("verity");
    let words = format!(
        "mount.usrflags={OF_USER_SPACE}\tsystemd.verity_usr_options=hash-offset={},data-block-size=4096,hash-block-size=4096\x0b\x0c{}",
        verity.hash_offset,
        disk.words_for(spec).replace(' ', "\x0b"),
    );
    let room = LONG - words.len() - 150;
    let more = "no.such=word ".repeat(room / 13);
    format!("{more}{words}")
}

/// One boot with all of it.
#[test]
fn a_long_line_with_quotes_and_options_of_user_space() {
    let booted = Boot {
        words: |disk| long(disk, "PARTLABEL=\"USR-A\""),
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let len = booted.report.cmdline.len();
    assert!((1900..2048).contains(&len), "{len} bytes");
    let usr = booted.report.mount("/sysusr/usr").expect("/usr");
    assert_eq!(usr.options, ["ro", "relatime"]);
}

/// A parameter of a module at the end of a long line reaches the module.
#[test]
fn a_module_parameter_at_the_end_of_a_long_line() {
    Boot {
        words: |disk| long(disk, "PARTLABEL='USR-A'"),
        append: "dm-verity.require_signatures=1",
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=load errno=ENOKEY subject=/dev/vda2");
}

/// So many parameters in a profile, this many bytes, which a module takes by itself.
fn parameters(count: usize) -> Wanted {
    let parameters = "require_signatures=0 ".repeat(count);
    let settings = format!("modules.options.dm-verity = '{}'", parameters.trim_end());
    Wanted {
        settings: settings.leak(),
        ..Wanted::DEMO
    }
}

/// Parameters of the profile and of the command line that do not fit one behind the other are refused: none of them is cut.
#[test]
fn parameters_of_a_module_that_do_not_fit() {
    let words = |disk: &Disk| {
        let more = "dm-verity.require_signatures=0 ".repeat(30);
        format!("{more}dm-verity.require_signatures=1 {}", disk.words())
    };
    // All of them come to 112 bytes less than there is room for, and to 98 more.
    Boot {
        initrd: parameters(110),
        words,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=load errno=ENOKEY subject=/dev/vda2");
    Boot {
        initrd: parameters(120),
        words,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=module errno=7 subject=dm-verity");
}

fn mounted(usr: Recipe, words: fn(&Disk) -> String, append: &'static str) -> Booted {
    let booted = Boot {
        recipe: usr,
        words,
        append,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    booted
}

/// Flags that the kernel keeps for the whole filesystem are no options of the filesystem's.
#[test]
fn lazy_times_on_btrfs() {
    let words = |disk: &Disk| disk.words_for("PARTLABEL=USR\\x2dA");
    let append = "mount.usrflags=ro,lazytime";
    let booted = mounted(Recipe::default(), words, append);
    let usr = booted.report.mount("/sysusr/usr").expect("/usr");
    assert!(
        usr.super_options.contains(&"lazytime".to_owned()),
        "{usr:?}"
    );
}

/// Of contrary ones the last counts; the filesystem gets only its own.
#[test]
fn contrary_options() {
    let words = |disk: &Disk| {
        disk.words_for(&format!(
            "LABEL='{}'",
            disk.label.as_ref().expect("a label")
        ))
    };
    let append = "usrflags=defaults,users,group,owner,noauto,X-mount.mkdir,x-initrd.mount,comment=a,nosuid,nodev,suid,noexec,exec,\
noatime,nodiratime,lazytime,nolazytime,nosymfollow,silent,subvolid=5,loud,nobarrier";
    let booted = mounted(Recipe::default(), words, append);
    let usr = booted.report.mount("/sysusr/usr").expect("/usr");
    let mut options = usr.options.clone();
    options.sort();
    assert_eq!(
        options,
        ["noatime", "nodev", "nodiratime", "nosymfollow", "ro"]
    );
    assert!(
        !usr.super_options.contains(&"lazytime".to_owned()),
        "{usr:?}"
    );
    assert!(
        usr.super_options.contains(&"nobarrier".to_owned()),
        "{usr:?}"
    );
}

/// The wanted partition has a name that has to be quoted, or escaped.
fn named_with_a_blank(words: fn(&Disk) -> String) {
    let booted = Boot {
        damage: Some(|disk| {
            let mut sgdisk = tools::SGDISK.command().expect("sgdisk");
            sgdisk.arg("--change-name=2:USR A");
            tools::run(sgdisk.arg(&disk.path)).expect("another name");
        }),
        words,
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
}

#[test]
fn a_name_with_a_blank_in_quotes() {
    named_with_a_blank(|disk| disk.words_for("PARTLABEL=\"USR A\""));
}

a_test! { [also] a_name_with_an_escaped_blank named_with_a_blank(|disk| disk.words_for("PARTLABEL=USR\\x20A")) }
a_test! { [also] a_link_with_an_escaped_blank named_with_a_blank(|disk| disk.words_for("/dev/disk/by-partlabel/USR\\x20A")) }
a_test! { [also] a_uuid_in_quotes
    mounted(recipe(), |disk| disk.words_for(&format!("UUID=\"{}\"", disk.uuid.as_ref().expect("a UUID"))), "")
}

/// Waits for the next failure, and checks its line, from `stage=` on.
#[track_caller]
fn next_failure(running: &mut Running, line: &str) {
    see(running, "toehold: FAILED ");
    let last = running.tail(1);
    let found = last.split_once("FAILED ").expect("a failure").1;
    assert_eq!(found, line);
}

/// Boots with a first word that is refused, and sets the others at the rescue console, one after the other. Each is `WORD subject`: refused at
/// once, in this stage, with that subject.
fn refused(words: fn(&Disk) -> String, stage: &str, all: &[(&'static str, &str)]) {
    let ((first, subject), rest) = all.split_first().expect("a word");
    let mut running = Boot {
        initrd: Wanted::PATIENT,
        words,
        append: first,
        ..Boot::default()
    }
    .ready()
    .start();
    let line = |subject: &str| format!("stage={stage} step=options errno=- subject={subject}");
    next_failure(&mut running, &line(subject));
    for (word, subject) in rest {
        open(&mut running);
        running.send(&format!("set {word}\r")).expect("a command");
        running.send("retry\r").expect("a command");
        next_failure(&mut running, &line(subject));
    }
}

/// What cannot name a device is not waited for.
#[test]
fn specs_that_name_nothing() {
    let all = [
        "PARTUUID=7",
        "/dev/vg/lv",
        "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f13",
        "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132/PARTNROFF=x",
        "UUID=toehold",
        "PARTLABEL=",
        "PARTLABEL=USR\\xzzA",
        "LABEL=''",
        "/dev/disk/by-id/virtio-1",
        "/dev/",
        "USR-A",
        // It would take in whatever is set behind it.
        "PARTLABEL=\"USR-A",
    ];
    let all = all.map(|spec| (&*format!("verity.usr={spec}").leak(), "verity.usr"));
    refused(Disk::words, "verity", &all);
}

/// The same without verity.
#[test]
fn a_node_that_only_udev_would_make() {
    let without = |_: &Disk| String::new();
    let all = [
        "/dev/vg/lv",
        "/dev/mapper/vg-lv",
        "UUID=0123-45678",
        "254:x",
    ];
    let all = all.map(|spec| (&*format!("mount.usr={spec}").leak(), "mount.usr"));
    refused(without, "device", &all);
}

/// Sizes that are none, or no whole sectors.
#[test]
fn sizes_that_are_none() {
    let all = [
        "hash-offset=1000",
        "data-block-size=4Q",
        "hash-offset=K",
        "hash-offset=-4096",
        "hash-offset=4K",
        "hash-block-size=4k",
        "hash-offset=16777216T",
        "fec-offset=513",
        "data-block-size=",
    ];
    let all = all.map(|option| {
        (
            &*format!("systemd.verity_usr_options={option}").leak(),
            option,
        )
    });
    refused(Disk::words, "verity", &all);
}

/// An unverified device, and words that begin like verity's and are none.
#[test]
fn words_that_are_nearly_veritys() {
    let words = |_: &Disk| "mount.usr=/dev/vda2".to_owned();
    let all = [
        ("verity.roothash=00", "verity.roothash"),
        ("verity.userhash=", "verity.userhash"),
        ("usrhash256=00", "usrhash256"),
        ("verity.usr_hash", "verity.usr_hash"),
        (
            "systemd.verity_usr_hash_offset=4096",
            "systemd.verity_usr_hash_offset",
        ),
        ("verity.=", "verity."),
        ("roothashes=", "roothashes"),
    ];
    refused(words, "verity", &all);
}

/// Words of verity's that are right, with nothing to verify by: whatever else is to be mounted, it is not.
fn asks_for_verity(append: &'static str) {
    Boot {
        words: |_: &Disk| "mount.usr=/dev/vda2".to_owned(),
        append,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=options errno=- subject=verity.usrhash");
}

a_test! { [] roothash_where_usr_is_mounted asks_for_verity("roothash=") }
a_test! { [] a_word_with_hyphens asks_for_verity("systemd.verity-usr-hash=/dev/vda3") }
a_test! { [also] a_word_of_veritys_without_a_value asks_for_verity("systemd.verity_usr_options") }
a_test! { [also] root_hash_without_a_value asks_for_verity("verity.usrhash") }
