//! What every boot that reaches stage 2 has to leave behind.

use std::collections::BTreeSet;

use toehold_stage2::{Loop, Mount, Report};
use xtask::lab::disk::Filesystem;

use crate::harness::Booted;

const STAGES: [&str; 7] = [
    "kernel-fs",
    "modules",
    "device",
    "verity",
    "usr",
    "stage2",
    "switch-root",
];

/// From kernel-facts: makes udev in stage 2 accept the verity device.
const RULE: &str = concat!(
    r#"ACTION!="remove", KERNEL=="dm-*", ATTR{dm/name}=="NAME", "#,
    r#"ATTR{dm/uuid}=="CRYPT-VERITY-*", ENV{DM_UDEV_PRIMARY_SOURCE_FLAG}="1", OPTIONS+="db_persist""#,
);

/// Checks all of it. `image` is where the stage-2 image lies in /usr.
pub fn everything(booted: &Booted, image: &str) {
    let left = &booted.report.processes;
    assert_eq!(*left, [], "processes were left behind");
    all_but_processes(booted, image);
}

/// The same, where `count` init functions hang: their loaders are still there, and nobody else.
pub fn everything_and_hanging_loaders(booted: &Booted, image: &str, count: usize) {
    const INIT_MODULE: u32 = 175;
    const FINIT_MODULE: u32 = 313;
    let left = &booted.report.processes;
    assert_eq!(left.len(), count, "{left:?}");
    for process in left {
        assert_eq!(process.name, "init", "{process:?}");
        assert_eq!(process.state, "D", "{process:?}");
        let loads = [INIT_MODULE, FINIT_MODULE]
            .map(Some)
            .contains(&process.call);
        assert!(loads, "{process:?}");
    }
    all_but_processes(booted, image);
}

fn all_but_processes(booted: &Booted, image: &str) {
    let report = &booted.report;
    assert_eq!(report.pid, 1);
    mounts(report);
    if booted.disk.stage2.is_some() {
        usr(booted);
        root(booted, image);
    } else {
        root_itself(booted);
    }
    verity(booted);
    files(booted);
    log(booted);
    booted.passed(booted.disk.name());
}

fn mount<'a>(report: &'a Report, point: &str) -> &'a Mount {
    let found = report.mount(point);
    found.unwrap_or_else(|| panic!("nothing is mounted on {point}: {:#?}", report.mounts))
}

/// The kernel's filesystems came along, with the flags that systemd gives them.
fn mounts(report: &Report) {
    for (point, fstype, flags) in [
        ("/proc", "proc", &["rw", "nosuid", "nodev", "noexec"][..]),
        ("/sys", "sysfs", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev", "devtmpfs", &["rw", "nosuid"]),
        ("/dev/pts", "devpts", &["rw", "nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev"]),
        ("/run", "tmpfs", &["rw", "nosuid", "nodev"]),
    ] {
        let mount = mount(report, point);
        assert_eq!(mount.fstype, fstype, "{point}");
        for flag in ["rw", "nosuid", "nodev", "noexec"] {
            let has = mount.options.iter().any(|option| option == flag);
            assert_eq!(
                has,
                flags.contains(&flag),
                "{flag} on {point}: {:?}",
                mount.options
            );
        }
        let times = report
            .mounts
            .iter()
            .filter(|mount| mount.point == point)
            .count();
        assert_eq!(times, 1, "{point} is mounted {times} times");
    }
}

fn usr(booted: &Booted) {
    let mount = mount(&booted.report, "/sysusr/usr");
    assert_eq!(mount.fstype, booted.disk.filesystem.to_string());
    assert!(
        mount.options.contains(&"ro".to_owned()),
        "/usr is writable: {:?}",
        mount.options
    );
    let source = match booted.disk.verity {
        Some(_) => "/dev/mapper/usr",
        None => "/dev/vda2",
    };
    assert_eq!(mount.source, source);
}

/// The root is a writable overlay of the image, on a loop device that goes when it is no longer needed, or without one where the
/// kernel can do that, and nothing of the initramfs is left in it or in memory.
fn root(booted: &Booted, image: &str) {
    let report = &booted.report;
    let mount = mount(report, "/");
    assert_eq!(mount.fstype, "overlay");
    assert!(report.root_is_writable);
    let loops = [Loop {
        name: "loop0".to_owned(),
        backing_file: format!("/sysusr/usr/{image}"),
        read_only: true,
        autoclear: true,
    }];
    // Linux 6.1 is the only one here that cannot.
    let is_direct =
        booted.disk.stage2 == Some(Filesystem::Erofs) && !report.release.starts_with("6.1.");
    assert_eq!(report.loops, if is_direct { &loops[..0] } else { &loops });
    nothing_but(report, &["sysusr"]);
    // The initramfs is a tmpfs, whose pages count as shared memory.
    let shared = report.memory("Shmem");
    assert!(
        shared < 1024,
        "{shared} KiB of shared memory: the initramfs is still there"
    );
}

/// What is in the root directory: what belongs to stage 2, and `more`.
pub fn nothing_but(report: &Report, more: &[&str]) {
    let own = [
        "dev", "init", "lib", "lib64", "proc", "run", "sbin", "sys", "sysusr", "tmp", "usr",
    ];
    let expected: BTreeSet<&str> = own.iter().chain(more).copied().collect();
    let found: BTreeSet<&str> = report.root.iter().map(String::as_str).collect();
    assert_eq!(found, expected);
}

/// The verified filesystem itself is the root, as it is or below an overlay.
fn root_itself(booted: &Booted) {
    let report = &booted.report;
    let mount = mount(report, "/");
    if mount.fstype == "overlay" {
        assert!(report.root_is_writable);
    } else {
        assert_eq!(mount.fstype, booted.disk.filesystem.to_string());
        assert_eq!(mount.source, "/dev/mapper/root");
        assert!(mount.options.contains(&"ro".to_owned()), "{mount:?}");
        assert!(!report.root_is_writable);
    }
    assert_eq!(report.loops, []);
    let more: &[&str] = match booted.disk.filesystem {
        Filesystem::Ext4 => &["lost+found"],
        _ => &[],
    };
    nothing_but(report, more);
    let shared = report.memory("Shmem");
    assert!(
        shared < 1024,
        "{shared} KiB of the initramfs are still there"
    );
}

/// The real veritysetup accepts the device, and dm has it as veritysetup would have made it.
fn verity(booted: &Booted) {
    let report = &booted.report;
    let Some(verity) = &booted.disk.verity else {
        assert_eq!(report.dm, None);
        return;
    };
    let name = booted.disk.name();
    assert_eq!(report.mapper, ["control", name]);
    let dm = report.dm.as_ref().expect("dm-0");
    assert_eq!(dm.name, name);
    let uuid = verity.uuid.iter().map(|uuid| uuid.replace('-', "") + "-");
    let uuid: String = uuid.collect();
    assert_eq!(dm.uuid, format!("CRYPT-VERITY-{uuid}{name}"));

    assert_eq!(report.veritysetup.code, Some(0), "{:?}", report.veritysetup);
    let fields = report.verity();
    let active = format!("/dev/mapper/{name} is active and is in use.");
    assert_eq!(fields[""], active);
    let status = match report.cmdline.contains("root-hash-signature=") {
        true => "verified (with signature)",
        false => "verified",
    };
    // As the profiles have it.
    let flags = match booted.disk.stage2 {
        Some(_) => "panic_on_corruption",
        None => "restart_on_corruption",
    };
    for (field, expected) in [
        ("type", "VERITY"),
        ("status", status),
        ("mode", "readonly"),
        ("root hash", &verity.root_hash),
        ("flags", flags),
    ] {
        assert_eq!(
            fields.get(field).map(String::as_str),
            Some(expected),
            "{field}"
        );
    }
    let sectors = verity.bytes() / 512;
    assert_eq!(fields["size"], format!("{sectors} sectors"));
    let found = report.dmsetup_status.stdout.trim_end();
    let status = format!("0 {sectors} verity V");
    let repairs = found.strip_prefix(&status);
    let repairs = repairs.unwrap_or_else(|| panic!("{found} instead of {status}"));
    // Since Linux 7 a field follows: how many blocks error correction repaired.
    match &verity.fec {
        None => assert!(["", " -"].contains(&repairs), "{found}"),
        Some(_) => assert!(
            repairs.is_empty() || repairs.trim().parse::<u32>().is_ok(),
            "{found}"
        ),
    }
}

fn files(booted: &Booted) {
    let report = &booted.report;
    let name = booted.disk.name();
    let timeline = report
        .files
        .get("/run/toehold/timeline")
        .expect("a timeline");
    let stages: Vec<(u64, &str)> = timeline
        .lines()
        .map(|line| {
            let (micros, stage) = line.split_once(' ').expect("a time and a stage");
            (micros.parse().expect("microseconds"), stage)
        })
        .collect();
    assert!(stages.is_sorted_by_key(|(micros, _)| *micros), "{stages:?}");
    let names: Vec<&str> = stages.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, STAGES);
    let rule = report
        .files
        .get("/run/udev/rules.d/09-toehold.rules")
        .map(|text| text.trim_end());
    let wanted = RULE.replace("NAME", name);
    let wanted = report.dm.is_some().then_some(wanted.as_str());
    assert_eq!(rule, wanted);
    seen(report, name);
}

/// What was seen is left for stage 2, nothing else, and the device was found.
fn seen(report: &Report, name: &str) {
    let seen = report.files.get("/run/toehold/report").expect("a report");
    let start = format!("kernel {0}, plan {0}\n", report.release);
    let lists = seen.strip_prefix(&start);
    let lists = lists.unwrap_or_else(|| panic!("no {start}in {seen}"));
    for line in lists.lines() {
        let kinds = ["module ", "block device: ", "wanted: "];
        let is_known = kinds.iter().any(|kind| line.starts_with(kind));
        assert!(is_known, "{line} in {seen}");
    }
    if report.dm.is_some() {
        let verity = lists.lines().any(|line| line == "module dm_verity: loaded");
        assert!(verity, "{seen}");
        let found = format!(": mapper/{name}");
        let found = |line: &str| line.starts_with("wanted: ") && line.ends_with(&found);
        assert!(lists.lines().any(found), "{seen}");
    }
    let disk = lists.contains("\nblock device: ");
    assert!(disk, "{seen}");
}

/// The stable lines, on the console and in the kernel's log.
fn log(booted: &Booted) {
    let stages = booted.log.stages();
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, STAGES);
    assert!(booted.log.stage2().is_some());
    let said = booted.report.messages.iter();
    assert_eq!(
        said.filter(|line| line.starts_with("toehold: stage=") && line.contains(" done us="))
            .count(),
        STAGES.len()
    );
    let program = booted.report.argv.first().expect("its own name");
    let exec = format!("toehold: stage2 exec={program} us=");
    let mut said = booted.report.messages.iter();
    let exec = said.any(|line| line.starts_with(&exec));
    assert!(exec, "{:?}", booted.report.messages);
}
