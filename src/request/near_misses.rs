//! Words that are nearly right, or meant for somebody else.

use super::tests::{read, text};
use super::*;
use crate::asked::{ROOT_WORDS, USR_WORDS};

#[test]
fn words_that_ask_for_verity_and_do_not_name_it() {
    for (line, subject) in [
        // A word alone asks, too.
        ("mount.usr=/dev/vda verity.usrhash", "verity.usrhash"),
        (
            "mount.usr=/dev/vda systemd.verity_usr_options",
            "verity.usrhash",
        ),
        // `-` is `_`.
        (
            "mount.usr=/dev/vda systemd.verity-usr-hash=/dev/vdb",
            "verity.usrhash",
        ),
        // What is meant for a root asks for verity, too.
        ("mount.usr=/dev/vda roothash=00ff", "verity.usrhash"),
        (
            "mount.usr=/dev/vda systemd.verity_root_data=/dev/vda",
            "verity.usrhash",
        ),
        // What begins like a word of verity's, and is none.
        ("mount.usr=/dev/vda verity.roothash=00ff", "verity.roothash"),
        ("mount.usr=/dev/vda verity.userhash=00ff", "verity.userhash"),
        ("mount.usr=/dev/vda verity.usr.hash", "verity.usr.hash"),
        ("mount.usr=/dev/vda usrhashes=00ff", "usrhashes"),
        ("mount.usr=/dev/vda roothashsig=/x", "roothashsig"),
        (
            "verity.usr=/dev/vda verity.usrhash=00ff systemd.verity_usr_option=panic-on-corruption",
            "systemd.verity_usr_option",
        ),
        (
            "mount.usr=/dev/vda systemd.verity_usrhash=00ff",
            "systemd.verity_usrhash",
        ),
    ] {
        for required in [false, true] {
            let why = read(line, required).err().unwrap();
            assert_eq!(why, (Stage::Verity, subject.to_string()), "{line}");
        }
    }
}

/// What is meant for stage 2, and what is no word of verity's, change nothing.
#[test]
fn words_of_others() {
    for words in [
        "roothash=11 systemd.verity_root_data=x verity.root=/dev/x",
        "systemd.verity=no verity usrhas=1 rd.verity.x hash=00",
    ] {
        let line = format!("verity.usr=PARTLABEL=USR-A verity.usrhash=00ff {words}");
        let request = read(line.leak(), true).ok().unwrap();
        assert_eq!(text(&request, Role::Data), b"PARTLABEL=USR-A");
        assert_eq!(request.root_hash.unwrap_or_default(), b"00ff");
    }
}

/// The plan has the words in this order: an initrd's init and its plan have to agree.
#[test]
fn words_of_the_plan() {
    let words = "verity.usr verity.usrhash systemd.verity_usr_data systemd.verity_usr_hash \
        systemd.verity_usr_options == == rd.shell rd.earlytrace rd.earlyshell mount.usr \
        mount.usrfstype mount.usrflags rd.earlytimeout rd.emergency == modprobe.blacklist usrhash \
        verity.root roothash systemd.verity_root_* == verity.* systemd.verity_* usrhash* roothash* \
        usr usrfstype usrflags";
    assert_eq!(USR_WORDS, words.as_bytes());
    let words = "verity.root roothash systemd.verity_root_data systemd.verity_root_hash \
        systemd.verity_root_options == == rd.shell rd.earlytrace rd.earlyshell root rootfstype \
        rootflags rd.earlytimeout rd.emergency init modprobe.blacklist == verity.usr \
        verity.usrhash systemd.verity_usr_* usrhash verity.* systemd.verity_* usrhash* roothash* \
        == == ==";
    assert_eq!(ROOT_WORDS, words.as_bytes());
}
