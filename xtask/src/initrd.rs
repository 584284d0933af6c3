//! The builder: from a kernel's modules and a profile to an initrd with its plan and manifest.

pub mod catalogue;
pub mod compress;
pub mod cpio;
pub mod manifest;
pub mod modinfo;
pub mod plan;
pub mod profile;
pub mod resolve;
pub mod strip;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use toehold::format::plan::PATH as PLAN_PATH;

use catalogue::Catalogue;
use compress::Compression;
use cpio::Entry;
use manifest::{Item, Kind, Manifest, Totals};
use profile::{Profile, Strip};
use resolve::{Chosen, Selection};

/// What to build an initrd from.
#[derive(Debug, Clone)]
pub struct Request {
    /// `…/lib/modules/<release>`.
    pub modules_dir: PathBuf,
    pub profile: PathBuf,
    pub arch: String,
    /// The stripped init.
    pub init: PathBuf,
    pub compress: Compression,
    /// Searched for firmware before the `firmware` directory beside `modules_dir`'s parent.
    pub firmware_dir: Option<PathBuf>,
    /// More files: path in the initrd, and the file to take.
    pub extra: Vec<(String, PathBuf)>,
}

/// An initrd and what is in it.
#[derive(Debug)]
pub struct Built {
    /// As it ships: compressed.
    pub archive: Vec<u8>,
    pub manifest: Manifest,
}

impl Built {
    /// Writes the initrd to `out` and its manifest to `out` with `.json` behind it.
    pub fn write(&self, out: &Path) -> Result<()> {
        let mut manifest = serde_json::to_string_pretty(&self.manifest)?;
        manifest.push('\n');
        let json = manifest_path(out);
        for (path, bytes) in [(out, self.archive.as_slice()), (&json, manifest.as_bytes())] {
            fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Where the manifest of an initrd lies.
pub fn manifest_path(out: &Path) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(".json");
    path.into()
}

/// Builds an initrd: the same bytes for the same request and files.
pub fn build(request: &Request) -> Result<Built> {
    let contents = Contents::gather(request)?;
    let archive = cpio::pack(contents.entries.iter().map(|(entry, _)| entry))?;
    contents.finish(request, archive)
}

/// Everything that will be in the archive, in its order, each with its line for the manifest.
pub struct Contents {
    pub entries: Vec<(Entry, Item)>,
    manifest: Manifest,
}

impl Contents {
    /// Reads the modules, makes the plan, and puts everything into order: init and plan first, then parents before children.
    pub fn gather(request: &Request) -> Result<Self> {
        let profile = Profile::read(&request.profile)?;
        let catalogue = Catalogue::read(&request.modules_dir)?;
        let selection = resolve::resolve(&catalogue, &profile.modules)?;
        let release = catalogue.release()?;
        let plan = plan::encode(&selection.modules, &profile.settings(release))?;

        let mut tree = Tree::default();
        let init = read(&request.init)?;
        tree.file("init", 0o755, init, Kind::Init, None, "init");
        tree.file(
            PLAN_PATH.trim_start_matches('/'),
            0o644,
            plan,
            Kind::Plan,
            None,
            "plan",
        );
        for path in DIRECTORIES {
            tree.directory(path, "mount points and moved directories of every boot");
        }
        tree.directory(profile.usr.mountpoint.trim_matches('/'), "usr.mountpoint");
        for (path, permissions, device) in DEVICES {
            tree.device(path, permissions, device);
        }
        for chosen in &selection.modules {
            tree.module(&catalogue, chosen, profile.modules.strip)?;
        }
        let mut missing_firmware = Vec::new();
        if profile.modules.firmware {
            missing_firmware = tree.firmware(request, &selection)?;
        }
        let beside = request.profile.parent().unwrap_or(Path::new(""));
        let from_profile = profile
            .emergency
            .extra_files
            .iter()
            .map(|(path, file)| (path, beside.join(file), "emergency.extra_files"));
        let from_request = request
            .extra
            .iter()
            .map(|(path, file)| (path, file.clone(), "asked for"));
        for (path, file, why) in from_profile.chain(from_request) {
            tree.extra(path, &file, why)?;
        }

        let manifest = Manifest {
            release: release.to_owned(),
            arch: request.arch.clone(),
            profile: request
                .profile
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            totals: Totals {
                aliases: selection
                    .modules
                    .iter()
                    .map(|chosen| chosen.module.info.aliases.len())
                    .sum(),
                ..Totals::default()
            },
            missing_firmware,
            warnings: selection.warnings,
            entries: Vec::new(),
        };
        Ok(Self {
            entries: tree.ordered()?,
            manifest,
        })
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        &self.manifest.release
    }

    fn finish(self, request: &Request, archive: Vec<u8>) -> Result<Built> {
        let mut manifest = self.manifest;
        let totals = &mut manifest.totals;
        totals.archive_bytes = archive.len();
        for (_, item) in &self.entries {
            match item.kind {
                Kind::Module => {
                    totals.modules += 1;
                    totals.module_bytes += item.bytes;
                }
                Kind::Firmware => {
                    totals.firmware += 1;
                    totals.firmware_bytes += item.bytes;
                }
                _ => {}
            }
        }
        manifest.entries = self.entries.into_iter().map(|(_, item)| item).collect();
        let archive = request.compress.pack(archive)?;
        manifest.totals.compressed_bytes = archive.len();
        Ok(Built { archive, manifest })
    }
}

/// What the init mounts on, or moves.
const DIRECTORIES: [&str; 9] = [
    "dev",
    "lib/modules",
    "proc",
    "run",
    "stage2",
    "stage2/image",
    "stage2/root",
    "stage2/rw",
    "sys",
];

/// What a process finds open before devtmpfs is mounted.
const DEVICES: [(&str, u32, (u32, u32)); 2] =
    [("dev/console", 0o600, (5, 1)), ("dev/null", 0o666, (1, 3))];

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The archive's contents while they grow.
#[derive(Default)]
struct Tree {
    entries: Vec<(Entry, Item)>,
    directories: BTreeSet<String>,
}

impl Tree {
    fn add(&mut self, entry: Entry, kind: Kind, source: Option<String>, why: &str) {
        if let Some((parent, _)) = entry.path.rsplit_once('/') {
            self.directory(parent, &format!("holds {}", entry.path));
        }
        let item = Item {
            path: entry.path.clone(),
            kind,
            bytes: entry.data.len(),
            source,
            why: why.to_owned(),
        };
        self.entries.push((entry, item));
    }

    fn directory(&mut self, path: &str, why: &str) {
        if self.directories.insert(path.to_owned()) {
            self.add(Entry::directory(path), Kind::Directory, None, why);
        }
    }

    fn file(
        &mut self,
        path: &str,
        permissions: u32,
        data: Vec<u8>,
        kind: Kind,
        source: Option<String>,
        why: &str,
    ) {
        self.add(Entry::file(path, permissions, data), kind, source, why);
    }

    fn device(&mut self, path: &str, permissions: u32, device: (u32, u32)) {
        self.add(
            Entry::character_device(path, permissions, device),
            Kind::Device,
            None,
            "standard input and output of the init",
        );
    }

    fn module(&mut self, catalogue: &Catalogue, chosen: &Chosen, strip: Strip) -> Result<()> {
        let module = chosen.module;
        let file = catalogue.directory.join(&module.path);
        let data = strip::apply(modinfo::load(&file)?, strip)
            .with_context(|| file.display().to_string())?;
        let path = format!("lib/modules/{}.ko", module.name);
        self.file(
            &path,
            0o644,
            data,
            Kind::Module,
            Some(module.path.display().to_string()),
            &chosen.why,
        );
        Ok(())
    }

    /// Adds the firmware that the modules name; returns the names that were not found.
    fn firmware(&mut self, request: &Request, selection: &Selection) -> Result<Vec<String>> {
        let beside = request.modules_dir.join("../../firmware");
        let directories: Vec<&Path> = request
            .firmware_dir
            .iter()
            .map(PathBuf::as_path)
            .chain([beside.as_path()])
            .collect();
        let mut missing = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for chosen in &selection.modules {
            for name in chosen
                .module
                .info
                .firmware
                .iter()
                .filter(|name| taken.insert(name.as_str()))
            {
                // The kernel looks for a compressed file when the plain one is absent.
                let names = ["", ".zst", ".xz"].map(|suffix| format!("{name}{suffix}"));
                let found = names.iter().find_map(|name| {
                    let directory = directories
                        .iter()
                        .find(|directory| directory.join(name).is_file())?;
                    Some((directory.join(name), name))
                });
                match found {
                    Some((file, found)) => {
                        let why = format!("firmware of {}", chosen.module.name);
                        self.file(
                            &format!("lib/firmware/{found}"),
                            0o644,
                            read(&file)?,
                            Kind::Firmware,
                            Some(found.clone()),
                            &why,
                        );
                    }
                    None => {
                        missing.insert(name.clone());
                    }
                }
            }
        }
        Ok(missing.into_iter().collect())
    }

    fn extra(&mut self, path: &str, file: &Path, why: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::metadata(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .permissions()
            .mode()
            & 0o777;
        self.file(
            path.trim_start_matches('/'),
            permissions,
            read(file)?,
            Kind::File,
            None,
            why,
        );
        Ok(())
    }

    fn ordered(mut self) -> Result<Vec<(Entry, Item)>> {
        let rank = |entry: &(Entry, Item)| match entry.1.kind {
            Kind::Init => 0,
            Kind::Plan => 1,
            _ => 2,
        };
        self.entries
            .sort_by(|one, other| (rank(one), &one.0.path).cmp(&(rank(other), &other.0.path)));
        let mut paths = BTreeSet::new();
        for (entry, _) in &self.entries {
            ensure!(
                paths.insert(&entry.path),
                "/{} is in the initrd twice",
                entry.path
            );
        }
        Ok(self.entries)
    }
}
