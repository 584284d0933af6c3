//! The release as a Debian package: the archive's files where Debian has such, and the control file. No script runs when it is installed.

use std::env;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::archive::{self, File, Files};
use super::{VERSION, needs, program};
use crate::lab::paths;
use builder::arch::Arch;
use builder::archive::compress::Compression;

/// Of the packaging, behind the version of what is packaged.
const REVISION: &str = "1";
/// No address: there is none where all of those who pack it read.
const MAINTAINER: &str = "The Toehold developers <toehold@example.org>";

const DESCRIPTION: &str = "\
first-stage initrd for image-based Linux
 Toehold is a small /init that loads the modules which a machine needs,
 finds the /usr partition, protects it with dm-verity, and starts the full
 initrd that is kept as an image inside it.
 .
 This package has toehold-mkinitrd, which builds such an initrd from a
 kernel's modules and a profile, the init of each architecture, ready
 profiles, and hooks for kernel-install and for Debian's kernel packages.
 They do nothing until there is a profile in /etc/toehold.
";

/// Where the archive has what Debian has elsewhere. The first that fits counts.
const PLACES: [(&str, &str); 4] = [
    ("share/toehold/kernel/", "etc/kernel/"),
    (
        "share/zsh/site-functions/",
        "usr/share/zsh/vendor-completions/",
    ),
    (
        "share/doc/toehold/CHANGELOG.md",
        "usr/share/doc/toehold/changelog",
    ),
    ("", "usr/"),
];

/// The package's file name.
pub fn file_name() -> Result<String> {
    Ok(format!(
        "toehold_{}_{}.deb",
        version(),
        architecture()?.debian()
    ))
}

fn version() -> String {
    format!("{VERSION}-{REVISION}")
}

fn architecture() -> Result<Arch> {
    let mut all = Arch::ALL.into_iter();
    let found = all.find(|arch| arch.name() == env::consts::ARCH);
    found.context("Debian's name of this machine's architecture is not known here")
}

/// Packs the archive's files, of which all get the time `time`.
pub fn build(files: &Files, time: u64) -> Result<Vec<u8>> {
    let data = places(files, time)?;
    let bytes: usize = data.values().map(|file| file.bytes.len()).sum();
    let builder = &files[&format!("bin/{}", program::NAME)];
    let needed = needs::packages(&builder.bytes)?.join(", ");
    let control = format!(
        "Package: toehold\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\n\
         Depends: {needed}\nSection: admin\nPriority: optional\nDescription: {DESCRIPTION}",
        version(),
        architecture()?.debian(),
        bytes.div_ceil(1024)
    );
    let kept = data.keys().filter(|path| path.starts_with("etc/"));
    let kept: String = kept.map(|path| format!("/{path}\n")).collect();
    let about = Files::from([
        ("control".to_owned(), File::text(control)),
        ("conffiles".to_owned(), File::text(kept)),
    ]);
    let mut package = ar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", packed(&about, time)?),
        ("data.tar.xz", packed(&data, time)?),
    ] {
        let mut header = ar::Header::new(name.into(), bytes.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(time);
        package.append(&header, bytes.as_slice())?;
    }
    Ok(package.into_inner()?)
}

fn packed(files: &Files, time: u64) -> Result<Vec<u8>> {
    Compression::Xz.pack(archive::tar(".", files, time)?)
}

/// The files as Debian wants them: in their places, manual pages and changelogs compressed, one file about copyright.
fn places(files: &Files, time: u64) -> Result<Files> {
    let mut data = Files::new();
    for (path, file) in files {
        // Debian has these texts, and the file about copyright says so. How to install is told for those who have no package.
        if path.contains("LICENSE-") || path == "INSTALL.md" {
            continue;
        }
        let place = PLACES.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from)?;
            Some(format!("{to}{rest}"))
        });
        let mut place = place.context("a file without a place")?;
        let mut file = file.clone();
        if place.starts_with("usr/share/man/") || place.ends_with("/changelog") {
            file.bytes = Compression::Gzip.pack(file.bytes)?;
            place += ".gz";
        }
        data.insert(place, file);
    }
    for (name, bytes) in [
        ("copyright", copyright()?.into_bytes()),
        (
            "changelog.Debian.gz",
            Compression::Gzip.pack(changelog(time).into_bytes())?,
        ),
    ] {
        data.insert(format!("usr/share/doc/toehold/{name}"), File::text(bytes));
    }
    Ok(data)
}

fn copyright() -> Result<String> {
    let mit = paths::text("LICENSE-MIT")?;
    Ok(format!(
        "Toehold is under either of two licences, as you like: the MIT License, which follows, or the Apache License,\n\
         Version 2.0, which is in /usr/share/common-licenses/Apache-2.0. Its programs have code of others in them, under\n\
         the licences in /usr/share/doc/toehold/THIRD-PARTY.\n\n{mit}"
    ))
}

/// Debian's own, about the packaging; what changed in Toehold stands in the other one.
fn changelog(time: u64) -> String {
    let date =
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time)).replace("GMT", "+0000");
    format!(
        "toehold ({}) unstable; urgency=medium\n\n  * Version {VERSION}: see changelog.gz.\n\n -- {MAINTAINER}  {date}\n",
        version()
    )
}
