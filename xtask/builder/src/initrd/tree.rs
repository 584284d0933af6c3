//! The archive's contents while they grow: entries in any order, each with its reason.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use toehold::shared::{
    MODPROBE, MODULES, STAGE2_IMAGE, STAGE2_ROOT, STAGE2_WRITABLE, inside, text,
};

use crate::{
    archive::read,
    archive::{compress::Compression, cpio::Entry, similar},
    initrd::{
        Request, firmware,
        manifest::{Item, Kind, is_hardware},
    },
    kernel::config::Config,
    select::{Chosen, Selection},
};

/// What the init mounts on, or moves.
const DIRECTORIES: [&str; 9] = [
    "dev",
    inside(MODULES),
    "proc",
    "run",
    "stage2",
    inside(STAGE2_IMAGE),
    inside(STAGE2_ROOT),
    inside(STAGE2_WRITABLE),
    "sys",
];

/// What is opened before devtmpfs is mounted.
const DEVICES: [(&str, u32, (u32, u32)); 2] =
    [("dev/console", 0o600, (5, 1)), ("dev/null", 0o666, (1, 3))];

/// The archive's contents while they grow.
#[derive(Default)]
pub struct Tree {
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
            needed_by: Vec::new(),
            aliases: Vec::new(),
            group: None,
            packed_bytes: None,
        };
        self.entries.push((entry, item));
    }

    /// A directory and those that hold it, each once.
    pub fn directory(&mut self, path: &str, why: &str) {
        if self.directories.insert(path.to_owned()) {
            self.add(Entry::directory(path), Kind::Directory, None, why);
        }
    }

    /// A file, owned by root.
    pub fn file(
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

    /// What every initrd has, beside the init and the plan.
    pub fn skeleton(&mut self, mountpoint: &str) {
        for path in DIRECTORIES {
            self.directory(path, "mount points and moved directories of every boot");
        }
        self.directory(
            mountpoint.trim_matches('/'),
            "what is looked for is mounted here",
        );
        for (path, permissions, device) in DEVICES {
            let entry = Entry::character_device(path, permissions, device);
            let why = "open before devtmpfs is mounted";
            self.add(entry, Kind::Device, None, why);
        }
    }

    /// The init by the name that the kernel asks for modules: it answers from the plan. A kernel that is configured to ask
    /// nobody gets none.
    pub fn modprobe(&mut self, config: Option<&Config>) {
        let path = config.and_then(Config::modprobe).unwrap_or(text(MODPROBE));
        if let Some(path) = path.strip_prefix('/') {
            let why = "answers the kernel's requests for modules";
            self.add(Entry::symlink(path, "/init"), Kind::Symlink, None, why);
        }
    }

    /// A module's file, and what it is for.
    pub fn module(&mut self, chosen: &Chosen, data: Vec<u8>, compression: Compression) {
        let item = module(chosen, data.len(), compression.module_suffix());
        let entry = Entry::file(&item.path, 0o644, data);
        self.add(entry, Kind::Module, None, &chosen.why);
        if let Some((_, added)) = self.entries.last_mut() {
            *added = item;
        }
    }

    /// Adds the firmware that the modules name; returns the names that were not found.
    pub fn firmware(&mut self, request: &Request, selection: &Selection) -> Result<Vec<String>> {
        let release = request.modules_dir.file_name().unwrap_or_default();
        let beside = request.modules_dir.join("../../firmware");
        let folders = firmware::Folders::new(request.firmware_dir.iter().chain([&beside]), release);
        let mut missing = BTreeSet::new();
        let mut taken = BTreeSet::new();
        let of_modules = selection.modules.iter().flat_map(|chosen| {
            let names = chosen.module.info.firmware.iter();
            names.map(|name| (name.as_str(), chosen.module.name.as_str()))
        });
        let of_builtins = selection.firmware.iter();
        let of_builtins = of_builtins.map(|(name, who)| (*name, who.as_str()));
        for (name, who) in of_modules.chain(of_builtins) {
            let found = folders.find(name)?;
            if found.is_empty() {
                missing.insert(name.to_owned());
            }
            for (found, file) in found {
                if taken.insert(found.clone()) {
                    self.file(
                        &format!("lib/firmware/{found}"),
                        0o644,
                        read(&file)?,
                        Kind::Firmware,
                        Some(found),
                        &format!("firmware of {who}"),
                    );
                }
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// A file of this machine, with its permissions.
    pub fn extra(&mut self, path: &str, file: &Path, why: &str) -> Result<()> {
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

    /// Init and plan first, then by path, so that parents come before children; modules last, each behind the one that it has most
    /// in common with, and where that says nothing, by where they lie in the kernel's package.
    pub fn ordered(mut self) -> Result<Vec<(Entry, Item)>> {
        fn place((entry, item): &(Entry, Item)) -> (u32, &str) {
            match (item.kind, &item.source) {
                (Kind::Init, _) => (0, ""),
                (Kind::Plan, _) => (1, ""),
                (Kind::Module, Some(source)) => (3, source),
                _ => (2, &entry.path),
            }
        }
        self.entries
            .sort_by(|one, other| place(one).cmp(&place(other)));
        let modules = self
            .entries
            .split_off(self.entries.partition_point(|entry| place(entry).0 < 3));
        let data: Vec<&[u8]> = modules
            .iter()
            .map(|(entry, _)| entry.data.as_slice())
            .collect();
        let order = similar::chain(&data);
        let mut modules: Vec<_> = modules.into_iter().map(Some).collect();
        self.entries
            .extend(order.into_iter().filter_map(|index| modules[index].take()));
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

/// A module, of so many bytes, and what it is for.
pub fn module(chosen: &Chosen, bytes: usize, suffix: &str) -> Item {
    let module = chosen.module;
    let needed_by = chosen.needed_by.iter();
    let aliases = module.info.aliases.iter();
    Item {
        path: format!("{}/{}{suffix}", inside(MODULES), module.kernel_name()),
        kind: Kind::Module,
        bytes,
        source: Some(module.path.display().to_string()),
        why: chosen.why.clone(),
        needed_by: needed_by.map(|name| (*name).to_owned()).collect(),
        group: chosen.group,
        packed_bytes: None,
        aliases: aliases
            .filter(|alias| is_hardware(alias))
            .cloned()
            .collect(),
    }
}
