//! Everything that a kernel offers: the modules below a directory, and what is built in.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::classes;
use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::{
    modinfo::{self, Modinfo},
    near,
};

/// A module file and what it says.
#[derive(Debug)]
pub struct Module {
    /// The file's stem (`dm-verity`).
    pub name: String,
    /// Relative to the modules directory (`kernel/drivers/md/dm-verity.ko.xz`).
    pub path: PathBuf,
    /// The file's size.
    pub bytes: u64,
    pub info: Modinfo,
}

impl Module {
    /// What the kernel calls it (/proc/modules, /sys/module), and the plan: no `-`.
    pub fn kernel_name(&self) -> String {
        folded(&self.name)
    }

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
    /// Aliases of what is built in, as far as `modules.builtin.modinfo` has them.
    pub builtin_aliases: Vec<String>,
    by_name: HashMap<String, usize>,
    builtin_names: HashSet<String>,
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
pub fn folded(name: &str) -> String {
    name.replace('-', "_")
}

impl Catalogue {
    /// No modules yet, of a kernel that has them in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            ..Self::default()
        }
    }

    /// Reads every module below `directory`, and `modules.builtin*` if there.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut catalogue = Self::new(directory);
        for entry in WalkDir::new(directory).sort_by_file_name() {
            let entry =
                entry.with_context(|| format!("cannot list modules in {}", directory.display()))?;
            let name = entry.file_name().to_str().and_then(modinfo::stem);
            if let Some(name) = name.filter(|_| entry.file_type().is_file()) {
                catalogue.add(Module {
                    name: name.to_owned(),
                    path: entry.path().strip_prefix(directory)?.to_owned(),
                    bytes: entry.metadata()?.len(),
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
        let matches = |alias: &String| classes::matches(alias, text);
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

    /// The error for a name that stands for nothing, in what `place` says of it.
    pub fn unknown(&self, name: &str, place: &str) -> String {
        let has_no_list = match self.builtin.is_empty() {
            true => " (modules.builtin is missing or empty, so what is built in is not known)",
            false => "",
        };
        let close = near::hint(name, self.names());
        format!(
            "{place}: this kernel has no module, alias or built-in \"{name}\"{has_no_list}{close}"
        )
    }

    /// Everything that [`Catalogue::find`] takes literally.
    fn names(&self) -> impl Iterator<Item = &str> {
        let modules = self.modules.iter().flat_map(|module| {
            let aliases = module.info.aliases.iter().map(String::as_str);
            aliases.chain([module.name.as_str()])
        });
        modules
            .chain(self.builtin_names.iter().map(String::as_str))
            .chain(self.builtin_aliases.iter().map(String::as_str))
            .filter(|name| !name.contains(['*', '?', '[']))
    }

    /// Paths of modules and built-ins as profiles write them, and of the folders that hold them.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = self.builtin.clone();
        for module in &self.modules {
            paths.insert(module.plain_path().display().to_string());
        }
        let folders: Vec<String> = paths
            .iter()
            .flat_map(|path| Path::new(path).ancestors().skip(1))
            .map(|folder| folder.display().to_string())
            .filter(|folder| !folder.is_empty())
            .collect();
        paths.extend(folders);
        paths
    }
}
