//! The papers of what is linked: the bill of materials, and the licences.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use xtask::lab::{cache, paths};
use xtask::release::packages::{Id, Packages};

use crate::{artifacts, files, text};

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
    let shipped = files()
        .iter()
        .filter(|(_, file)| file.bytes.starts_with(b"\x7fELF"));
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
