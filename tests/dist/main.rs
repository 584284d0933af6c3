//! The release archive: what is in it, and that the builder in it works on its own.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use builder::{
    arch::Arch,
    archive::compress::Compression,
    initrd::{self, Request},
};
use serde_json::Value;
use xtask::lab::{
    build,
    kernels::{self, Series},
    paths, tools,
};
use xtask::release::{
    archive::{self, Files},
    dist,
    packages::Packages,
};

mod copies;
mod deb;
mod papers;

/// What the archive is packed from, but for the builder, which is not optimised here.
fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let builder = fs::read(program()).expect("the builder");
        let packages = Packages::read().expect("the crates");
        dist::files(&packages, builder).expect("a release")
    })
}

fn text(path: &str) -> &'static str {
    std::str::from_utf8(&files()[path].bytes).expect("a text")
}

/// The release as a folder in `room`. The builder is large here: it is not packed for that.
fn unpacked(room: &Path) -> PathBuf {
    let release = room.join(dist::top());
    for (path, file) in files() {
        let path = release.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.bytes).unwrap();
        let mode = if file.is_program { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    release
}

#[test]
fn listing_and_modes() {
    let room = tempfile::tempdir().unwrap();
    let mut files = files().clone();
    let builder = files.get_mut("bin/toehold-mkinitrd").unwrap();
    // It is large here.
    builder.bytes.truncate(1000);
    let packed = archive::pack(&dist::top(), &files, 0).expect("an archive");
    fs::write(room.path().join("archive.tar.gz"), packed).expect("a file");
    let mut tar = Command::new("tar");
    tar.args(["-tvf", "archive.tar.gz", "--utc", "--numeric-owner"]);
    let listing = tools::capture(tar.current_dir(room.path())).unwrap();
    let mut seen = Vec::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _, date, time, path] = words[..] else {
            panic!("{line}");
        };
        assert_eq!(
            (owner, date, time),
            ("0/0", "1970-01-01", "00:00"),
            "{line}"
        );
        let path = path.strip_prefix(&format!("{}/", dist::top())).unwrap();
        let is_program = ["bin/", "lib/", "share/toehold/kernel/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        let expected = match path {
            folder if folder.is_empty() || folder.ends_with('/') => "drwxr-xr-x",
            _ if is_program => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        seen.extend((!path.is_empty() && !path.ends_with('/')).then_some(path.to_owned()));
    }
    let mut expected = vec![
        "INSTALL.md".to_owned(),
        "bin/toehold-mkinitrd".to_owned(),
        "lib/kernel/install.d/56-toehold.install".to_owned(),
    ];
    for arch in ["aarch64", "x86_64"] {
        expected.push(format!("lib/toehold/{arch}/init"));
    }
    let shared = [
        "bash-completion/completions/toehold-mkinitrd",
        "doc/toehold/CHANGELOG.md",
        "doc/toehold/LICENSE-APACHE",
        "doc/toehold/LICENSE-MIT",
        "doc/toehold/THIRD-PARTY",
        "doc/toehold/toehold.cdx.json",
        "fish/vendor_completions.d/toehold-mkinitrd.fish",
        "man/man1/toehold-mkinitrd.1",
        "man/man5/toehold.profile.5",
        "man/man7/toehold.lock.7",
        "man/man8/toehold.8",
        "toehold/kernel/postinst.d/toehold",
        "toehold/kernel/postrm.d/toehold",
        "toehold/profiles/KEYS.md",
        "toehold/profiles/README.md",
        "toehold/profiles/cloud.toml",
        "toehold/profiles/embedded.toml",
        "toehold/profiles/flatcar.toml",
        "toehold/profiles/qemu.toml",
        "zsh/site-functions/_toehold-mkinitrd",
    ];
    expected.extend(shared.map(|path| format!("share/{path}")));
    assert_eq!(seen, expected);
    for arch in Arch::ALL {
        let init = &files[&format!("lib/toehold/{arch}/init")];
        assert_eq!(Arch::of(&init.bytes), Some(arch));
    }
}

/// What cargo says of everything that it compiles for the builder.
fn artifacts() -> &'static [Value] {
    static ARTIFACTS: OnceLock<Vec<Value>> = OnceLock::new();
    ARTIFACTS.get_or_init(|| {
        let mut cargo = Command::new(paths::cargo());
        cargo.args(["build", "--quiet", "--package=toehold-mkinitrd"]);
        cargo
            .arg("--message-format=json")
            .current_dir(paths::root());
        let messages = tools::capture(&mut cargo).unwrap();
        let artifacts = messages
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|message| message["reason"] == "compiler-artifact");
        artifacts.collect()
    })
}

/// The builder, not optimised.
fn program() -> &'static str {
    let mut programs = artifacts()
        .iter()
        .filter_map(|artifact| artifact["executable"].as_str());
    programs.next_back().expect("a program")
}

fn builder(release: &Path, arguments: &[&str], out: &Path) -> Output {
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    Command::new(release.join("bin/toehold-mkinitrd"))
        .arg("--modules-dir")
        .arg(kernel.modules_dir)
        .args(arguments)
        .arg("--out")
        .arg(out)
        .env_clear()
        .current_dir("/")
        .output()
        .expect("it runs")
}

#[test]
fn the_builder_takes_what_lies_beside_it() {
    let room = paths::room().unwrap();
    let release = unpacked(room.path());
    let out = room.path().join("initrd.img");
    let output = builder(&release, &["--profile", "qemu", "--compress", "none"], &out);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let kernel = kernels::fetch(Series::Cloud61).unwrap();
    let request = Request {
        compress: Compression::None,
        ..Request::new(
            &kernel.modules_dir,
            paths::root().join("xtask/profiles/qemu.toml"),
            build::init(Arch::X86_64).unwrap(),
        )
    };
    let same = initrd::build(&request).unwrap();
    assert!(
        fs::read(&out).unwrap() == same.archive,
        "not what the library makes"
    );

    fs::remove_file(release.join("lib/toehold/x86_64/init")).unwrap();
    let output = builder(&release, &["--profile", "qemu"], &out);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = release.join("lib/toehold/x86_64");
    let expected = format!(
        "error: no init in {}; --init FILE gives one\n",
        folder.display()
    );
    assert_eq!(said, expected);
}

#[test]
fn links_lead_to_what_ships() {
    let mut pages = 0;
    for (path, file) in files().iter().filter(|(path, _)| path.ends_with(".md")) {
        let text = std::str::from_utf8(&file.bytes).unwrap();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let ships = files().contains_key(&format!("{folder}/{target}"));
            assert!(ships || target.contains("://"), "{path}: {target}");
        }
        pages += 1;
    }
    assert!(pages > 3, "{pages} pages");
    assert!(text("share/toehold/profiles/README.md").contains("[KEYS.md](KEYS.md)"));
}

#[test]
fn help_and_completions_name_the_same_options() {
    let output = Command::new(program()).arg("--help").output();
    let help = String::from_utf8(output.unwrap().stdout).unwrap();
    let options = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    let options: BTreeSet<&str> = options.collect();
    assert!(options.len() > 8, "{options:?}");
    for option in options {
        for path in [
            "bash-completion/completions/toehold-mkinitrd",
            "zsh/site-functions/_toehold-mkinitrd",
        ] {
            assert!(
                text(&format!("share/{path}")).contains(option),
                "{option} in {path}"
            );
        }
        let fish = format!(" -l {} ", &option[2..]);
        assert!(text("share/fish/vendor_completions.d/toehold-mkinitrd.fish").contains(&fish));
    }
}
