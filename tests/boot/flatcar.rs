//! In the place of Flatcar's minimal initrd: its disk, its command line, and what its full initrd has to find.

use xtask::lab::disk::{Disk, OTHER_PARTUUID, PARTUUID, Recipe};
use xtask::lab::kernels::Series;

use crate::expect;
use crate::harness::{Boot, Booted};
use crate::identity::verified;
use crate::initrds::Wanted;

const IMAGE: &str = "lib/flatcar/bootengine.img";

/// What a kernel of Flatcar's sees as its command line: its own CONFIG_CMDLINE, then GRUB's words, those of an OEM partition (Amazon's)
/// among them, and the root hash, which lies in the kernel's image.
fn words(disk: &Disk, slot: &str, partuuid: &str) -> String {
    let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
    format!(
        "rootflags=rw mount.usrflags=ro BOOT_IMAGE=/flatcar/vmlinuz-{slot} mount.usr=/dev/mapper/usr \
         verity.usr=PARTUUID={partuuid} rootflags=rw mount.usrflags=ro consoleblank=0 root=LABEL=ROOT \
         console=ttyS0,115200n8 flatcar.first_boot=detected flatcar.oem.id=ec2 modprobe.blacklist=xen_fbfront \
         net.ifnames=0 nvme_core.io_timeout=4294967295 verity.usrhash={root_hash}"
    )
}

pub fn slot_a(disk: &Disk) -> String {
    words(disk, "a", &PARTUUID.to_string())
}

pub fn slot_b(disk: &Disk) -> String {
    words(disk, "b", &OTHER_PARTUUID.to_string())
}

/// A boot from the slot that `words` name.
pub fn from(kernel: Series, words: fn(&Disk) -> String) -> Boot {
    Boot {
        kernel,
        initrd: Wanted {
            profile: "flatcar.toml",
            ..Wanted::DEMO
        },
        recipe: Recipe::flatcar(),
        words,
        ..Boot::default()
    }
}

/// Boots from the slot that `words` name, which is the partition `node`. Both hold the same: nothing but the PARTUUID tells them apart.
pub fn boot(kernel: Series, words: fn(&Disk) -> String, node: &str) -> Booted {
    let booted = from(kernel, words).stage2();
    // /sysusr/usr, /dev/mapper/usr, the writable root over the image, the moved filesystems, and nothing else.
    expect::everything(&booted, IMAGE);
    let report = &booted.report;
    assert_eq!(verified(&booted), node);
    assert_eq!(booted.disk.filesystem_bytes, 1_065_345_024);

    // As veritysetup --panic-on-corruption --hash-offset=1065345024 sets it up.
    let verity = booted.disk.verity.as_ref().expect("verity");
    let table: Vec<&str> = report.dmsetup_table.stdout.split_whitespace().collect();
    let device = table.get(4).copied().unwrap_or_default();
    let expected = format!(
        "0 2080752 verity 1 {device} {device} 4096 4096 260094 260095 sha256 {} {} 1 panic_on_corruption",
        verity.root_hash, verity.salt
    );
    assert_eq!(table.join(" "), expected);

    // What mount.usrflags= and btrfs mean together, which Flatcar's usr-generator asks for in sysusr-usr.mount, too.
    let usr = report.mount("/sysusr/usr").expect("/usr");
    for (options, option) in [
        (&usr.options, "ro"),
        (&usr.super_options, "ro"),
        (&usr.super_options, "rescue=nologreplay"),
    ] {
        assert!(options.iter().any(|found| found == option), "{usr:?}");
    }

    // Everything else is left for stage 2: the words as they are, and init's arguments and environment as the kernel made them.
    let cmdline = report.cmdline.trim_end();
    assert!(cmdline.contains(&words(&booted.disk)), "{cmdline}");
    assert_eq!(report.argv, ["/init"]);
    assert_eq!(report.environment, ["HOME=/", "TERM=linux"]);
    let disk = report
        .block_devices
        .iter()
        .filter(|name| name.starts_with("vda"));
    let mut partitions: Vec<&str> = disk.map(String::as_str).collect();
    partitions.sort_unstable();
    let expected = [
        "vda", "vda1", "vda2", "vda3", "vda4", "vda6", "vda7", "vda9",
    ];
    assert_eq!(partitions, expected);
    booted
}

/// On Debian's kernel for any hardware, with its 586 modules.
#[test]
fn slot_a_on_the_generic_kernel() {
    boot(Series::Generic61, slot_a, "/dev/vda3");
}
