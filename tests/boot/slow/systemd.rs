//! Real systemd as stage 2: the device as udev and systemd see it in Debian's own initrd, whatever that does to udev's records, and then a real root.

use std::collections::BTreeMap;
use std::time::Duration;

use toehold_stage2::mount;
use xtask::lab::disk::{Disk, Filesystem, Recipe};
use xtask::lab::kernels::Series;
use xtask::measure::results;

use crate::harness::Boot;
use crate::initrds::Wanted;

/// What was said in a section, by stage and name.
type Sections = BTreeMap<(String, String), String>;

fn sections(said: &str) -> Sections {
    let mut found = Sections::new();
    let mut text = &mut String::new();
    for line in said.lines() {
        match line.strip_prefix("== ") {
            Some(title) => {
                let (stage, name) = title.split_once(' ').unwrap_or((title, ""));
                text = found
                    .entry((stage.to_owned(), name.to_owned()))
                    .or_default();
            }
            None => {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
    }
    found
}

fn system(kernel: Series, usr: Filesystem, stage2: Filesystem, words: fn(&Disk) -> String) {
    let ready = Boot {
        kernel,
        initrd: Wanted {
            // For the root: a stage 2 of a distribution has its own.
            always: &["ext4"],
            ..Wanted::DEMO
        },
        recipe: Recipe {
            usr,
            stage2,
            system: true,
            ..Recipe::default()
        },
        words,
        append: "root=LABEL=ROOT rootfstype=ext4 systemd.mask=serial-getty@ttyS0.service systemd.mask=getty@tty1.service \
            systemd.mask=e2scrub_reap.service systemd.mask=systemd-logind.service",
        ..Boot::default()
    }
    .ready();
    let mut ready = ready;
    ready.machine.timeout = Duration::from_secs(900);
    let running = ready.start();
    let outcome = running.finish().expect("QEMU");
    let tail = outcome.log.tail(80);
    assert_eq!(outcome.log.failed(), None);
    assert!(!outcome.timed_out, "{tail}\n{}", outcome.said);
    let sections = sections(&outcome.said);
    let section = |stage: &str, name: &str| {
        let found = sections.get(&(stage.to_owned(), name.to_owned()));
        found.unwrap_or_else(|| panic!("no {name} from {stage}:\n{tail}\n{}", outcome.said))
    };
    let verity = ready.disk.verity.as_ref().expect("verity");
    for stage in ["initrd", "retriggered", "without-rule", "root"] {
        assert_eq!(section(stage, "failed"), "", "{stage}");
        let udev = section(stage, "udev");
        let has = |line: &str| udev.lines().any(|own| own == line);
        assert!(has("DM_NAME=usr"), "{stage}: {udev}");
        assert!(
            has(&format!(
                "DM_UUID=CRYPT-VERITY-{}-usr",
                plain(verity.uuid.as_deref())
            )),
            "{stage}: {udev}"
        );
        assert!(!has("SYSTEMD_READY=0"), "{stage}: {udev}");
        assert!(has("DM_UDEV_PRIMARY_SOURCE_FLAG=1"), "{stage}: {udev}");
        assert!(udev.contains("/dev/mapper/usr"), "{stage}: {udev}");
        for unit in ["device", "unit"] {
            assert_eq!(
                section(stage, unit),
                "ActiveState=active\n",
                "{unit} in {stage}"
            );
        }
        let status = section(stage, "veritysetup");
        assert!(
            status.starts_with("/dev/mapper/usr is active"),
            "{stage}: {status}"
        );
        for line in [
            "status: verified",
            &format!("root hash: {}", verity.root_hash),
        ] {
            let has = status.lines().any(|own| squeezed(own) == line);
            assert!(has, "{stage}: no {line} in {status}");
        }
        let dmsetup = section(stage, "dmsetup");
        assert!(
            dmsetup.starts_with("usr CRYPT-VERITY-"),
            "{stage}: {dmsetup}"
        );
        let table = section(stage, "table");
        assert!(table.contains(&verity.root_hash), "{stage}: {table}");
        let timeline = section(stage, "timeline");
        assert!(
            timeline.trim_end().ends_with(" switch-root"),
            "{stage}: {timeline}"
        );
        assert!(section(stage, "report").starts_with("kernel "), "{stage}");
        assert!(
            section(stage, "rule").contains("ATTR{dm/name}==\"usr\""),
            "{stage}"
        );
        let mounts = section(stage, "mounts");
        let at = |point: &str| {
            mounts
                .lines()
                .filter_map(mount)
                .rfind(|mount| mount.point == point)
        };
        // The root of the second initrd, and, in the real root, its /usr.
        let points = match stage {
            "root" => &["/usr"][..],
            _ => &["/sysusr/usr", "/sysroot/usr"],
        };
        for point in points {
            let usr = at(point).unwrap_or_else(|| panic!("{stage}: nothing on {point}: {mounts}"));
            assert_eq!(
                (usr.source.as_str(), usr.fstype),
                ("/dev/mapper/usr", ready.disk.filesystem.to_string())
            );
            assert!(usr.options.contains(&"ro".to_owned()), "{:?}", usr.options);
        }
    }
    let mounts = section("root", "mounts");
    let root = mounts
        .lines()
        .filter_map(mount)
        .rfind(|mount| mount.point == "/");
    assert_eq!(root.expect("a root").fstype, "ext4");
    assert_eq!(section("root", "state"), "running\n");
    assert_eq!(section("root", "target"), "ActiveState=active\n");
    section("end", "");
    let seen = results::Booted {
        kernel: kernel.version().to_owned(),
        arch: kernel.arch().to_string(),
        mode: "usr with systemd".to_owned(),
        filesystem: ready.disk.filesystem.to_string(),
    };
    seen.record().expect("a result");
}

/// A UUID as device-mapper's have it.
fn plain(uuid: Option<&str>) -> String {
    uuid.unwrap_or_default().replace('-', "")
}

/// With one blank where there are several.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "slow: two systemds start"]
fn linux_6_1() {
    system(
        Series::Cloud61,
        Filesystem::Squashfs,
        Filesystem::Squashfs,
        Disk::words,
    );
}

/// By systemd's own words, which its generator for verity reads, too.
#[test]
#[ignore = "slow: two systemds start"]
fn linux_6_12() {
    system(
        Series::Cloud612,
        Filesystem::Erofs,
        Filesystem::Erofs,
        |disk| {
            let root_hash = &disk.verity.as_ref().expect("verity").root_hash;
            let spec = format!("PARTUUID={}", disk.partuuid);
            format!(
                "mount.usr=/dev/mapper/usr usrhash={root_hash} systemd.verity_usr_data={spec} systemd.verity_usr_hash={spec}"
            )
        },
    );
}

#[test]
#[ignore = "slow: two systemds start"]
fn linux_7_2() {
    system(
        Series::Cloud72,
        Filesystem::Ext4,
        Filesystem::Erofs,
        Disk::words,
    );
}
