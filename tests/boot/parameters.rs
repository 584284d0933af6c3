//! What is said of a verity device: pinned, contradicted, unknown, and signed; and of modules.

use std::fs;

use xtask::lab::disk::{self, Disk};
use xtask::lab::qemu::Outcome;
use xtask::lab::tools;

use crate::harness::{Boot, locked_to, recipe};
use crate::initrds::{Files, Wanted};
use crate::{IMAGE, expect};

fn blocks() -> u64 {
    let disk = disk::make(&recipe()).expect("a disk");
    disk.verity.expect("verity").data_blocks
}

/// The log has both values.
fn contradicted(outcome: &Outcome, field: &str, has: &str, wanted: &str) {
    let line = format!("toehold: {field}: {has} in the superblock, {wanted} wanted");
    assert!(outcome.log.contains(&line), "{}", outcome.log.tail(40));
}

const SUPERBLOCK: &str = "FAILED stage=verity step=superblock errno=- subject=/dev/vda2";

#[test]
fn command_line_contradicts_the_superblock() {
    let outcome = Boot {
        append: "systemd.verity_usr_options=hash=sha512",
        ..Boot::default()
    }
    .fails(SUPERBLOCK);
    contradicted(&outcome, "hash", "sha256", "sha512");
}

/// A superblock that shows less of the device than the profile says would hide its end.
#[test]
fn profile_contradicts_the_superblock() {
    let pinned = blocks() + 1;
    let outcome = Boot {
        initrd: Wanted {
            settings: format!("verity.data_blocks = {pinned}").leak(),
            ..Wanted::DEMO
        },
        ..Boot::default()
    }
    .fails(SUPERBLOCK);
    let [has, wanted] = [blocks(), pinned].map(|blocks| blocks.to_string());
    contradicted(&outcome, "data-blocks", &has, &wanted);
}

#[test]
fn unknown_option() {
    Boot {
        append: "systemd.verity_usr_options=panic-on-corruption,ignore-everything",
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=options errno=- subject=ignore-everything");
}

/// What few images use, the demo's init takes all the same.
#[test]
fn options_that_every_init_has() {
    for append in [
        "systemd.verity_usr_options=fec-roots=2",
        "systemd.verity_usr_options=panic-on-error",
    ] {
        let booted = Boot {
            append,
            ..Boot::default()
        }
        .stage2();
        expect::everything(&booted, IMAGE);
    }
    Boot {
        append: "systemd.verity_usr_options=root-hash-signature=/signature",
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=key errno=ENOENT subject=/dev/vda2");
}

/// What makes the kernel refuse a root hash without a signature.
const STRICT: &str = "FAILED stage=verity step=load errno=ENOKEY subject=/dev/vda2";

#[test]
fn module_parameters_of_the_command_line() {
    Boot {
        append: "dm-verity.require_signatures=1",
        ..Boot::default()
    }
    .fails(STRICT);
}

#[test]
fn module_parameters_of_a_locked_profile_stay() {
    Boot {
        initrd: Wanted {
            settings: format!(
                "modules.options.dm-verity = 'require_signatures=1'\n{}",
                locked_to(&recipe())
            )
            .leak(),
            ..Wanted::DEMO
        },
        append: "dm-verity.require_signatures=0",
        ..Boot::default()
    }
    .fails(STRICT);
}

#[test]
fn barred_module_is_not_loaded_for_its_hardware() {
    let outcome = Boot {
        append: "modprobe.blacklist=virtio_gpu,virtio-blk modprobe.blacklist=virtio_net rd.earlytimeout=8",
        ..Boot::default()
    }
    .fails("FAILED stage=device step=wait errno=ETIMEDOUT subject=PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f132");
    let line = "module virtio_blk: modprobe.blacklist has it";
    assert!(outcome.log.contains(line), "{}", outcome.log.tail(40));
}

/// What the boot asks for, and what those depend on.
#[test]
fn barred_modules_that_are_needed() {
    Boot {
        append: "modprobe.blacklist=dm_verity,dm_mod,virtio_ring",
        ..Boot::default()
    }
    .stage2();
}

/// Where a profile has the signature of the root hash.
const SIGNED: Wanted = Wanted {
    settings: "verity.root_hash_signature = '/usr.sig'",
    ..Wanted::DEMO
};

/// The root hash, signed with a key that was made for that: no kernel trusts it.
fn signature(disk: &Disk) -> Files {
    let room = tempfile::tempdir().expect("a folder");
    let path = |name: &str| room.path().join(name);
    let (key, certificate) = (path("key"), path("certificate"));
    let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
    fs::write(path("root-hash"), root_hash).expect("a file");
    let openssl = |words: &str| {
        let mut openssl = tools::OPENSSL.command().expect("openssl");
        openssl.args(words.split(' '));
        openssl
    };
    let mut request = openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -keyout");
    tools::run(request.arg(&key).arg("-out").arg(&certificate)).expect("a key");
    let mut sign = openssl("smime -sign -nocerts -noattr -binary -outform der -inkey");
    sign.arg(&key).arg("-signer").arg(&certificate);
    sign.arg("-in").arg(path("root-hash"));
    tools::run(sign.arg("-out").arg(path("signature"))).expect("a signature");
    let signature = fs::read(path("signature")).expect("a signature");
    vec![("/usr.sig", signature)]
}

#[test]
fn signed_by_a_key_that_the_kernel_does_not_trust() {
    let outcome = Boot {
        initrd: SIGNED,
        files: signature,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=key errno=ENOKEY subject=/dev/vda2");
    let said = "Root hash verification failed";
    assert!(outcome.log.contains(said), "{}", outcome.log.tail(40));
}

#[test]
fn signature_that_is_none() {
    Boot {
        initrd: SIGNED,
        files: |_| vec![("/usr.sig", b"not a signature".to_vec())],
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=key errno=EBADMSG subject=/dev/vda2");
}

#[test]
fn signature_missing() {
    Boot {
        initrd: SIGNED,
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=key errno=ENOENT subject=/dev/vda2");
}
