//! The packagers' recipe for mkosi, word for word: a disk that Debian's mkosi makes, started by UEFI firmware, up to multi-user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use builder::arch::Arch;
use toehold_stage2::mount;
use xtask::lab::debian::Debian;
use xtask::lab::paths;
use xtask::lab::qemu::Machine;
use xtask::lab::qemu::firmware::Variables;

use super::debian::with_the_package;

/// Says on the second serial line what came up, and ends the machine.
const REPORT: &str = "\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
ExecStart=sh -c 'cat /proc/self/mountinfo; cat /run/toehold/timeline; systemctl list-units --failed --plain --no-legend; echo up'
ExecStart=systemctl poweroff --force --force
";

/// The files of the recipe, by their paths: blocks of code whose first comment is one.
fn recipe() -> Vec<(String, String)> {
    let page = paths::text("xtask/profiles/README.md").expect("the page");
    let section = page.split("\n## mkosi\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().expect("its end");
    let blocks = section.split("\n```").skip(1).step_by(2);
    let files = blocks.map(|block| {
        let (_, text) = block.split_once('\n').expect("a language");
        let path = text.lines().find_map(|line| line.strip_prefix("# "));
        (path.expect("a path").to_owned(), format!("{text}\n"))
    });
    files.collect()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

/// Besides the recipe: where this machine gets packages from, and the report.
fn additions(folder: &Path) {
    let sources = Debian::sources().expect("sources");
    let place = "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources";
    write(folder, place, &sources);
    let units = "mkosi.extra/usr/lib/systemd/system";
    write(folder, &format!("{units}/report.service"), REPORT);
    let wants = folder.join(units).join("multi-user.target.wants");
    fs::create_dir_all(&wants).expect("a folder");
    symlink("../report.service", wants.join("report.service")).expect("a link");
}

/// Takes root, for a system of its own with mkosi.
#[test]
#[ignore = "slow: mkosi makes a disk, and systemd starts twice"]
fn the_recipe_of_the_packagers_page() {
    let (debian, _) = with_the_package();
    let folder = debian.root().join("recipe");
    let files = recipe();
    assert!(files.len() > 5, "{files:?}");
    for (path, text) in files {
        write(&folder, &path, &text);
    }
    additions(&folder);
    debian
        .run("dpkg --install /toehold.deb && cd /recipe && mkdir mkosi.output && mkosi build")
        .expect("a disk");

    let room = paths::room().expect("a folder");
    let variables = Variables::create(Arch::X86_64, &room.path().join("variables"));
    let disk = folder.join("mkosi.output/image.raw");
    let mut machine = Machine::from_disk(variables.expect("OVMF"), disk);
    machine.timeout = Duration::from_secs(600);
    let outcome = machine.run().expect("QEMU");
    let (said, tail) = (&outcome.said, outcome.log.tail(80));
    assert!(!outcome.timed_out, "{tail}\n{said}");
    assert_eq!(outcome.log.failed(), None);
    let lines: Vec<&str> = said.lines().collect();
    let up = lines.iter().position(|line| *line == "up");
    let up = up.unwrap_or_else(|| panic!("{tail}\n{said}"));
    // Units that failed would stand between the timeline's end and this.
    assert!(lines[up - 1].ends_with(" switch-root"), "{said}");
    let mounts: Vec<_> = lines.iter().filter_map(|line| mount(line)).collect();
    let at = |point: &str| mounts.iter().rfind(|mount| mount.point == point);
    let usr = at("/usr").expect("a /usr");
    assert_eq!(
        (usr.source.as_str(), usr.fstype.as_str()),
        ("/dev/mapper/usr", "erofs")
    );
    assert_eq!(at("/").expect("a root").fstype, "ext4");
}
