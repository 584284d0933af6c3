//! A copy of the repository, in another place and under other circumstances, gives the same archive and the same package.

use std::{fs, path::Path, process::Command};

use walkdir::WalkDir;
use xtask::lab::{cache, paths, tools};
use xtask::release::{
    deb,
    dist::{self, Release},
};

/// Copies all of the repository but what was made from it.
fn copy(to: &Path) {
    let files = WalkDir::new(paths::root())
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name();
            name != "target" && name != ".git"
        });
    for entry in files {
        let entry = entry.expect("an entry");
        let target = to.join(entry.path().strip_prefix(paths::root()).expect("inside"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).expect("a folder");
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// Makes the archive and the package of the copy at `root`; returns their bytes, and what stands beside them.
fn made(root: &Path, umask: &str, zone: &str, home: &Path) -> ([Vec<u8>; 2], String) {
    copy(root);
    let out = root.join("out");
    // Relative: what it is called with must not matter either.
    let script = "umask \"$1\" && exec \"$0\" dist --deb --out out";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_xtask"), umask]);
    shell
        .current_dir(root)
        .env("CARGO_MANIFEST_DIR", root.join("xtask"));
    shell
        .env("TZ", zone)
        .env("XDG_CACHE_HOME", home)
        .env_remove("SOURCE_DATE_EPOCH");
    tools::run(&mut shell).expect("a release");
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&out);
    tools::run(&mut check).expect("the checksum is right");
    let files = names().map(|name| fs::read(out.join(name)).expect("a file"));
    let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("checksums");
    (files, sums)
}

/// The names of archive and package.
fn names() -> [String; 2] {
    [dist::file_name(), deb::file_name().expect("a name")]
}

#[test]
#[ignore = "slow: an optimised build of everything, from nothing"]
fn made_twice_it_is_the_same() {
    let release = Release::build().expect("a release");
    let here = [release.archive(), release.deb()].map(|made| made.expect("a file"));
    let room = paths::room().unwrap();
    let copy = room.path().join("quite/another place/two");
    let (there, sums) = made(&copy, "077", "Asia/Tokyo", &copy);
    let mut want = String::new();
    for ((name, here), there) in names().iter().zip(&here).zip(&there) {
        assert!(here == there, "{name} of {} differs", copy.display());
        want += &format!("{}  {name}\n", cache::digest(here));
    }
    assert_eq!(sums, want);
}
