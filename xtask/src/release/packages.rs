//! The crates that the shipped programs are made from, as cargo and its lock file know them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::lab::{paths, tools};
use builder::arch::Arch;

/// Name and version, as in the lock file.
pub type Id = (String, String);

/// A crate.
#[derive(Debug)]
pub struct Package {
    /// An SPDX expression.
    pub licence: Option<String>,
    /// Where its source lies.
    pub folder: PathBuf,
    /// SHA-256 of the file that the registry has; none of a crate of this repository.
    pub checksum: Option<String>,
    /// What it is compiled with and from.
    pub needs: BTreeSet<Id>,
}

/// All crates that take part in making the programs.
#[derive(Debug)]
pub struct Packages {
    pub all: BTreeMap<Id, Package>,
    /// Those whose code is in the programs: without macros, build scripts and what only these need.
    pub linked: BTreeSet<Id>,
}

/// The package of the init and that of the builder, with the features that they ship with.
const PROGRAMS: [&[&str]; 2] = [
    &["--package=toehold", "--features=freestanding"],
    &["--package=toehold-mkinitrd"],
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Known>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Packages {
    /// Asks cargo, and reads the lock file.
    pub fn read() -> Result<Self> {
        Self::find().context("cannot tell what crates the programs are made from")
    }

    fn find() -> Result<Self> {
        let mut metadata = cargo(&["metadata", "--format-version=1"]);
        let metadata =
            tools::capture(metadata.args(["--filter-platform", Arch::default().target()]))?;
        let metadata: Metadata =
            serde_json::from_str(&metadata).context("`cargo metadata` has changed its format")?;
        let path = paths::root().join("Cargo.lock");
        let lock = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let lock: Lock = toml::from_str(&lock).context("Cargo.lock has changed its format")?;
        let mut checksums: BTreeMap<Id, Option<String>> = lock
            .package
            .into_iter()
            .map(|locked| ((locked.name, locked.version), locked.checksum))
            .collect();

        let ids: BTreeMap<String, Id> = metadata
            .packages
            .iter()
            .map(|known| {
                (
                    known.id.clone(),
                    (known.name.clone(), known.version.clone()),
                )
            })
            .collect();
        let part = closure("normal,build")?;
        let mut needs: BTreeMap<&Id, BTreeSet<Id>> = BTreeMap::new();
        for node in &metadata.resolve.nodes {
            let kept = node.deps.iter().filter(|dependency| {
                let mut kinds = dependency.dep_kinds.iter();
                kinds.any(|kind| kind.kind.as_deref() != Some("dev"))
            });
            let kept = kept.filter_map(|dependency| ids.get(&dependency.pkg).cloned());
            let kept = kept.filter(|id| part.contains(id)).collect();
            needs.insert(ids.get(&node.id).context("a node without a package")?, kept);
        }
        let mut all = BTreeMap::new();
        for known in metadata.packages {
            let id = (known.name, known.version);
            if part.contains(&id) {
                let folder = known.manifest_path.parent().map(Path::to_owned);
                let package = Package {
                    // As old manifests have it.
                    licence: known.license.map(|licence| licence.replace('/', " OR ")),
                    folder: folder.context("a manifest without a folder")?,
                    checksum: checksums.remove(&id).flatten(),
                    needs: needs.remove(&id).unwrap_or_default(),
                };
                all.insert(id, package);
            }
        }
        Ok(Self {
            all,
            linked: closure("normal,no-proc-macro")?,
        })
    }

    /// The linked crates of others.
    pub fn foreign(&self) -> impl Iterator<Item = (&Id, &Package)> {
        let linked = self.linked.iter();
        let linked = linked.filter_map(|id| self.all.get_key_value(id));
        linked.filter(|(_, package)| package.checksum.is_some())
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(paths::cargo());
    cargo
        .current_dir(paths::root())
        .args(arguments)
        .arg("--locked");
    cargo
}

/// The crates that the programs reach over these kinds of dependencies.
fn closure(edges: &str) -> Result<BTreeSet<Id>> {
    let mut found = BTreeSet::new();
    for program in PROGRAMS {
        let mut tree = cargo(&["tree", "--prefix=none", "--format={p}", "--edges", edges]);
        tree.args(["--target", Arch::default().target()])
            .args(program);
        for line in tools::capture(&mut tree)?.lines() {
            let mut words = line.split_whitespace();
            let id = words.next().zip(words.next());
            let (name, version) = id.with_context(|| format!("`cargo tree` says {line}"))?;
            let version = version.strip_prefix('v').unwrap_or(version);
            found.insert((name.to_owned(), version.to_owned()));
        }
    }
    Ok(found)
}
