//! The release archive: what is in it, that its papers are complete, and that the builder in it works on its own.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    build, cache,
    kernels::{self, Series},
    paths, tools,
};
use xtask::release::{
    archive::{self, Files},
    dist,
    packages::{Id, Packages},
};

mod copies;

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
        let is_program = path.starts_with("bin/") || path.starts_with("lib/");
        let expected = match path {
            folder if folder.is_empty() || folder.ends_with('/') => "drwxr-xr-x",
            _ if is_program => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        seen.extend((!path.is_empty() && !path.ends_with('/')).then_some(path.to_owned()));
    }
    let mut expected = vec!["bin/toehold-mkinitrd".to_owned()];
    for arch in ["aarch64", "x86_64"] {
        expected.push(format!("lib/toehold/{arch}/init"));
    }
    let shared = [
        "bash-completion/completions/toehold-mkinitrd",
        "doc/toehold/LICENSE-APACHE",
        "doc/toehold/LICENSE-MIT",
        "doc/toehold/README.md",
        "doc/toehold/THIRD-PARTY",
        "doc/toehold/toehold.cdx.json",
        "fish/vendor_completions.d/toehold-mkinitrd.fish",
        "man/man1/toehold-mkinitrd.1",
        "man/man5/toehold.profile.5",
        "man/man7/toehold.lock.7",
        "man/man8/toehold.8",
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

/// The crates that cargo says it compiles for the builder, whose library is made from the init's, too.
fn compiled() -> BTreeSet<Id> {
    artifacts()
        .iter()
        .map(|artifact| {
            let id = artifact["package_id"].as_str().unwrap();
            let (source, package) = id.split_once('#').unwrap();
            let folder = source.rsplit('/').next().unwrap();
            let (name, version) = package.split_once('@').unwrap_or((folder, package));
            (name.to_owned(), version.to_owned())
        })
        .collect()
}

#[test]
fn bill_of_materials() {
    let sbom: Value = serde_json::from_str(text("share/doc/toehold/toehold.cdx.json")).unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    assert_eq!(sbom["specVersion"], "1.6");
    assert_eq!(sbom["version"], 1);
    let serial = sbom["serialNumber"].as_str().unwrap();
    let uuid = serial.strip_prefix("urn:uuid:").unwrap();
    assert_eq!(uuid.len(), 36);
    uuid::Uuid::parse_str(uuid).unwrap();
    assert_eq!(sbom["metadata"]["component"]["name"], "toehold");
    assert!(sbom["metadata"].get("timestamp").is_none());

    let lock: toml::Table = paths::text("Cargo.lock").unwrap().parse().unwrap();
    let lock = lock["package"].as_array().unwrap();
    let mut references = BTreeSet::new();
    let mut crates = BTreeSet::new();
    let mut programs = BTreeSet::new();
    for component in sbom["components"].as_array().unwrap() {
        let get = |key: &str| {
            component[key]
                .as_str()
                .unwrap_or_else(|| panic!("no {key}: {component}"))
        };
        let (name, version) = (get("name"), get("version"));
        assert!(references.insert(get("bom-ref")), "{name} twice");
        let licence = component["licenses"][0]["expression"].as_str().unwrap();
        assert!(
            !licence.is_empty() && !licence.contains('/'),
            "{name}: {licence}"
        );
        let hash = component["hashes"][0]["content"].as_str();
        assert!(hash.is_none() || component["hashes"][0]["alg"] == "SHA-256");
        if get("type") == "application" {
            assert_eq!(
                hash,
                Some(cache::digest(&files()[name].bytes).as_str()),
                "{name}"
            );
            programs.insert(name);
            continue;
        }
        assert_eq!(get("type"), "library");
        assert_eq!(
            get("purl"),
            format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
        );
        let locked = lock.iter().find(|locked| {
            locked["name"].as_str() == Some(name) && locked["version"].as_str() == Some(version)
        });
        let locked = locked.unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
        assert_eq!(
            hash,
            locked.get("checksum").and_then(toml::Value::as_str),
            "{name}"
        );
        crates.insert((name.to_owned(), version.to_owned()));
    }
    assert_eq!(crates, compiled());
    let shipped = files().iter().filter(|(_, file)| file.is_program);
    assert_eq!(programs, shipped.map(|(path, _)| path.as_str()).collect());

    // A graph without loose ends in which everything is reached from the release.
    let release = sbom["metadata"]["component"]["bom-ref"].as_str().unwrap();
    let edges: BTreeMap<&str, Vec<&str>> = sbom["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let needs = node["dependsOn"].as_array().unwrap();
            let needs = needs.iter().map(|need| need.as_str().unwrap()).collect();
            (node["ref"].as_str().unwrap(), needs)
        })
        .collect();
    let mut reached = BTreeSet::new();
    let mut next = vec![release];
    while let Some(reference) = next.pop() {
        if reached.insert(reference) {
            next.extend(&edges[reference]);
        }
    }
    assert!(reached.remove(release));
    assert_eq!(reached, references);
}

#[test]
fn licences_of_all_that_is_linked() {
    let page = text("share/doc/toehold/THIRD-PARTY");
    let packages = Packages::read().unwrap();
    let mut seen = 0;
    for ((name, version), package) in packages.foreign() {
        let line = format!("\n{name} {version}  {}", package.licence.as_ref().unwrap());
        assert!(page.contains(&line), "{line}");
        seen += 1;
    }
    assert!((45..65).contains(&seen), "{seen} crates");
    // What the developer's tool has and the builder has not.
    for other in [
        "clap_mangen",
        "gpt",
        "pulldown-cmark",
        "schemars",
        "tempfile",
    ] {
        assert!(!page.contains(&format!("\n{other} ")), "{other}");
    }
    // Macros leave nothing of theirs behind; a C library has its own licence.
    assert!(!page.contains("\nserde_derive ") && !page.contains("\ncc "));
    assert!(page.contains(": zstd/LICENSE\n") && page.contains(": xz/COPYING.0BSD\n"));
    assert_eq!(
        page.matches("Version 2.0, January 2004\n").count(),
        apache(page)
    );
    assert!(!page.contains(paths::root().to_str().unwrap()));
}

/// How many different texts of that licence there are: some fill in a name.
fn apache(page: &str) -> usize {
    let rule = "=".repeat(80);
    let texts = page.split(&rule).skip(1);
    let texts = texts.filter_map(|part| part.split_once("\n\n").map(|(_, text)| text));
    let texts = texts.filter(|text| text.contains("Version 2.0, January 2004\n"));
    texts.collect::<BTreeSet<&str>>().len()
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
