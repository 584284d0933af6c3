//! Everything that a kernel offers: the modules below a directory, and what is built in.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use toehold::format::glob;
use walkdir::WalkDir;

use super::modinfo::{self, Modinfo};

/// A module file and what it says.
#[derive(Debug)]
pub struct Module {
    /// The file's stem, as the initrd keeps it (`dm-verity`).
    pub name: String,
    /// Relative to the modules directory (`kernel/drivers/md/dm-verity.ko.xz`).
    pub path: PathBuf,
    pub info: Modinfo,
}

impl Module {
    /// The path as profiles write it: ending in `.ko`, however the file is compressed.
    pub fn plain_path(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.ko", self.name))
    }
}

/// The modules of one kernel.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// `lib/modules/<release>`.
    pub directory: PathBuf,
    /// Ordered by path; a module below `updates/` hides the one it replaces.
    pub modules: Vec<Module>,
    /// Paths of what is built in, as `modules.builtin` has them.
    pub builtin: BTreeSet<String>,
    by_name: HashMap<String, usize>,
    builtin_names: HashSet<String>,
    builtin_aliases: Vec<String>,
}

/// What a name or an alias stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Numbers into [`Catalogue::modules`], ascending.
    Modules(Vec<usize>),
    Builtin,
    Nothing,
}

/// `-` and `_` are one in module names.
fn folded(name: &str) -> String {
    name.replace('-', "_")
}

impl Catalogue {
    /// Reads every module below `directory`, and `modules.builtin*` if there.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut catalogue = Self {
            directory: directory.to_owned(),
            ..Self::default()
        };
        for entry in WalkDir::new(directory).sort_by_file_name() {
            let entry =
                entry.with_context(|| format!("cannot list modules in {}", directory.display()))?;
            let name = entry.file_name().to_str().and_then(modinfo::stem);
            if let Some(name) = name.filter(|_| entry.file_type().is_file()) {
                catalogue.add(Module {
                    name: name.to_owned(),
                    path: entry.path().strip_prefix(directory)?.to_owned(),
                    info: Modinfo::read(entry.path())?,
                });
            }
        }
        ensure!(
            !catalogue.modules.is_empty(),
            "{}: no kernel modules there; the directory to give is …/lib/modules/<release>",
            directory.display()
        );
        if let Ok(list) = fs::read_to_string(directory.join("modules.builtin")) {
            catalogue.add_builtin(&list);
        }
        if let Ok(tags) = fs::read(directory.join("modules.builtin.modinfo")) {
            catalogue.builtin_aliases = modinfo::builtin_aliases(&tags);
        }
        Ok(catalogue)
    }

    /// Adds a module; of two with one name, the one below `updates/` stays, else the first.
    pub fn add(&mut self, module: Module) {
        let number = self.modules.len();
        match self.by_name.get(&folded(&module.name)) {
            None => {
                self.by_name.insert(folded(&module.name), number);
                self.modules.push(module);
            }
            Some(hidden) if module.path.starts_with("updates") => self.modules[*hidden] = module,
            Some(_) => {}
        }
    }

    /// Adds what `modules.builtin` lists, a path on each line.
    pub fn add_builtin(&mut self, list: &str) {
        for path in list.lines() {
            let name = path.rsplit('/').next().and_then(modinfo::stem);
            self.builtin_names.extend(name.map(folded));
            self.builtin.insert(path.to_owned());
        }
    }

    /// The kernel's release, which is the directory's name.
    pub fn release(&self) -> Result<&str> {
        self.directory
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| {
                format!(
                    "{}: its name is no kernel release",
                    self.directory.display()
                )
            })
    }

    /// The modules that modprobe would load for `text`: the module of that name, or all those with a matching alias.
    pub fn find(&self, text: &str) -> Found {
        if let Some(number) = self.by_name.get(&folded(text)) {
            return Found::Modules(vec![*number]);
        }
        if self.builtin_names.contains(&folded(text)) {
            return Found::Builtin;
        }
        let matches = |alias: &String| glob::matches(alias.as_bytes(), text.as_bytes());
        let found: Vec<usize> = (0..self.modules.len())
            .filter(|number| self.modules[*number].info.aliases.iter().any(matches))
            .collect();
        if !found.is_empty() {
            Found::Modules(found)
        } else if self.builtin_aliases.iter().any(matches) {
            Found::Builtin
        } else {
            Found::Nothing
        }
    }

    /// Names much like `name`, nearest first, three at most.
    pub fn close_to(&self, name: &str) -> Vec<&str> {
        let wanted = folded(name);
        let mut close: Vec<(usize, &str)> = self
            .modules
            .iter()
            .map(|module| {
                (
                    distance(&wanted, &folded(&module.name)),
                    module.name.as_str(),
                )
            })
            .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
            .collect();
        close.sort_unstable();
        close.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

/// Levenshtein distance: edits of one character that turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, have) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, want) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(have != want);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
