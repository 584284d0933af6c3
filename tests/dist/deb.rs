//! The Debian package: read by dpkg-deb, and its papers held to what is in it.

use std::fs;

use xtask::lab::tools;
use xtask::release::deb;

use crate::files;

/// What dpkg-deb says of the package, by one of its options.
fn said(option: &str) -> String {
    let room = tempfile::tempdir().unwrap();
    let package = room.path().join(deb::file_name().unwrap());
    let mut files = files().clone();
    // Not stripped, it would take long to pack.
    let builder = files.get_mut("bin/toehold-mkinitrd").unwrap();
    builder.bytes = fs::read("/usr/bin/env").unwrap();
    let packed = deb::build(&files, 1_700_000_000).unwrap();
    assert_eq!(packed, deb::build(&files, 1_700_000_000).unwrap());
    fs::write(&package, packed).unwrap();
    let mut dpkg_deb = tools::DPKG_DEB.command().unwrap();
    tools::capture(dpkg_deb.arg(option).arg(package)).unwrap()
}

#[test]
fn control_file() {
    let control = said("--field");
    let field = |name: &str| {
        let line = control.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {control}"))
    };
    assert_eq!(field("Package: "), "toehold");
    assert_eq!(field("Version: "), concat!(env!("CARGO_PKG_VERSION"), "-1"));
    assert!(field("Depends: ").starts_with("libc6 (>= 2."));
    assert!(field("Installed-Size: ").parse::<u32>().unwrap() > 100);
    // A line of the description begins with a blank and fits into a terminal.
    assert!(control.lines().all(|line| line.len() <= 80), "{control}");
}

#[test]
fn contents() {
    let listing = said("--contents");
    let mut paths = Vec::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _, date, _, path] = words[..] else {
            panic!("{line}");
        };
        assert_eq!((owner, date), ("root/root", "2023-11-14"), "{line}");
        let is_program = path.contains("bin/")
            || path.ends_with("/init")
            || path.ends_with(".install")
            || path.starts_with("etc/");
        let expected = match path.ends_with('/') {
            true => "drwxr-xr-x",
            false if is_program => "-rwxr-xr-x",
            false => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        paths.push(path.to_owned());
    }
    for path in [
        "etc/kernel/postinst.d/toehold",
        "etc/kernel/postrm.d/toehold",
        "usr/bin/toehold-mkinitrd",
        "usr/lib/kernel/install.d/56-toehold.install",
        "usr/lib/toehold/aarch64/init",
        "usr/share/doc/toehold/THIRD-PARTY",
        "usr/share/doc/toehold/changelog.Debian.gz",
        "usr/share/doc/toehold/changelog.gz",
        "usr/share/doc/toehold/copyright",
        "usr/share/man/man8/toehold.8.gz",
        "usr/share/toehold/profiles/cloud.toml",
        "usr/share/zsh/vendor-completions/_toehold-mkinitrd",
    ] {
        assert!(
            paths.iter().any(|found| found == path),
            "{path} in {listing}"
        );
    }
}
