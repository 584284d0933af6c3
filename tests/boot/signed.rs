//! Root hashes that somebody vouches for: signed with a key that the firmware hands the kernel, which then takes no others.

use std::fs;
use std::path::Path;

use xtask::lab::disk::Disk;
use xtask::lab::kernels::Series;
use xtask::lab::qemu::Running;
use xtask::lab::qemu::firmware::Variables;
use xtask::lab::tools;

use crate::harness::{Boot, Ready};
use crate::initrds::{Files, Wanted};
use crate::{IMAGE, expect};

/// A signature of this text, by the key that the firmware trusts.
fn sign(text: &str) -> Files {
    let room = tempfile::tempdir().expect("a folder");
    let [content, signature] = ["content", "signature"].map(|name| room.path().join(name));
    fs::write(&content, text).expect("a file");
    let mut openssl = tools::OPENSSL.command().expect("openssl");
    openssl.args(["smime", "-sign", "-nocerts", "-noattr", "-binary"]);
    openssl.args(["-outform", "der", "-passin", "pass:snakeoil"]);
    for (option, file) in [
        ("-inkey", tools::OVMF_KEY.find()),
        ("-signer", tools::OVMF_CERTIFICATE.find()),
        ("-in", Some(content)),
        ("-out", Some(signature.clone())),
    ] {
        openssl.arg(option).arg(file.expect("OVMF"));
    }
    tools::run(&mut openssl).expect("a signature");
    vec![("/usr.sig", fs::read(signature).expect("a signature"))]
}

fn root_hash(disk: &Disk) -> &str {
    &disk.verity.as_ref().expect("verity").root_hash
}

fn words(disk: &Disk) -> String {
    let words = disk.words();
    format!("{words} systemd.verity_usr_options=root-hash-signature=/usr.sig")
}

/// A machine whose kernel has a key from the firmware, and takes only what is signed.
fn strict(kernel: Series) -> Boot {
    Boot {
        kernel,
        files: |disk| sign(root_hash(disk)),
        initrd: Wanted {
            settings: "modules.options.dm-verity = 'require_signatures=1'",
            ..Wanted::DEMO
        },
        words,
        ..Boot::default()
    }
}

/// Makes it ready on a firmware that trusts the key, and starts it.
fn start(boot: &Boot, variables: &Path) -> (Ready, Running) {
    let template = tools::OVMF_TRUSTING.find().expect("OVMF");
    fs::copy(template, variables).expect("a copy");
    let mut ready = boot.ready();
    ready.machine.firmware = Some(Variables::at(variables));
    let running = ready.start();
    (ready, running)
}

fn fails(boot: &Boot, line: &str) {
    let room = tempfile::tempdir().expect("a folder");
    let (ready, running) = start(boot, &room.path().join("variables"));
    ready.fails(running, line);
}

/// Kernels before 6.12 do not ask the firmware's keys about root hashes.
fn signed(kernel: Series) {
    let room = tempfile::tempdir().expect("a folder");
    let (ready, running) = start(&strict(kernel), &room.path().join("variables"));
    let booted = ready.stage2(running);
    expect::everything(&booted, IMAGE);
    let table = &booted.report.dmsetup_table.stdout;
    assert!(table.contains(" root_hash_sig_key_desc "), "{table}");
}

#[test]
#[ignore = "slow: on another kernel, too"]
fn by_a_key_of_the_firmware_on_linux_6_12() {
    signed(Series::Cloud612);
}

#[test]
fn by_a_key_of_the_firmware_on_linux_7_2() {
    signed(Series::Cloud72);
}

#[test]
fn not_at_all() {
    let boot = Boot {
        words: Disk::words,
        ..strict(Series::Cloud72)
    };
    fails(
        &boot,
        "FAILED stage=verity step=load errno=ENOKEY subject=/dev/vda2",
    );
}

#[test]
fn for_another_root_hash() {
    let boot = Boot {
        files: |disk| {
            let (first, rest) = root_hash(disk).split_at(1);
            let other = if first == "0" { "1" } else { "0" };
            sign(&format!("{other}{rest}"))
        },
        ..strict(Series::Cloud72)
    };
    fails(
        &boot,
        "FAILED stage=verity step=key errno=EKEYREJECTED subject=/dev/vda2",
    );
}
