//! Everything that a kernel offers: the modules below a directory, and what is built in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};

use super::{
    classes,
    modinfo::{self, Modinfo},
    near,
    search::Search,
};

/// Links to where the kernel was built; depmod passes over them, too.
const SOURCES: [&str; 2] = ["build", "source"];

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
    /// Ordered by path; of those with one name the one that depmod would take.
    pub modules: Vec<Module>,
    /// Paths of what is built in, as `modules.builtin` has them.
    pub builtin: BTreeSet<String>,
    /// What is built in and says something of itself, by its name with `_` for `-`, as far as `modules.builtin.modinfo` has it.
    pub builtin_info: BTreeMap<String, Modinfo>,
    /// What was left out, and why; for people.
    pub warnings: Vec<String>,
    /// Why files are no modules, by the names that they would have.
    damaged: BTreeMap<String, String>,
    search: Search,
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

    /// Reads every module below `directory`, through links as well, and `modules.builtin*` if there. What cannot be read is left out
    /// with a warning; it is an error when it is needed.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut catalogue = Self::new(directory);
        catalogue.search = Search::read(directory)?;
        let is_source = |entry: &DirEntry| {
            entry.depth() > 0 && SOURCES.iter().any(|name| entry.path().ends_with(name))
        };
        let entries = WalkDir::new(directory).follow_links(true);
        let mut entries = entries.sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) if is_source(&entry) => {
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                }
                Ok(entry) => catalogue.add_file(&entry)?,
                // A link to nowhere, or to a folder that holds it.
                Err(error) if error.depth() > 0 && error.path().is_some_and(Path::is_symlink) => {
                    let path = error.path().unwrap_or(directory);
                    if !SOURCES.iter().any(|name| path.ends_with(name)) {
                        catalogue.warnings.push(format!("left out: {error}"));
                    }
                }
                Err(error) => {
                    let failed = || format!("cannot list modules in {}", directory.display());
                    return Err(error).with_context(failed);
                }
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
            catalogue.builtin_info = modinfo::builtins(&tags);
        }
        Ok(catalogue)
    }

    /// Adds a module's file; others are nothing to it.
    fn add_file(&mut self, entry: &DirEntry) -> Result<()> {
        let name = entry.file_name().to_str().and_then(modinfo::stem);
        let Some(name) = name.filter(|_| entry.file_type().is_file()) else {
            return Ok(());
        };
        // What nobody may read is not damaged.
        fs::File::open(entry.path())
            .with_context(|| format!("cannot open {}", entry.path().display()))?;
        let mut info = match Modinfo::read(entry.path()) {
            Ok(info) => info,
            Err(error) => {
                let why = format!("{error:#}");
                self.warnings.push(format!("left out: {why}"));
                self.damaged.insert(folded(name), why);
                return Ok(());
            }
        };
        info.aliases.retain(|alias| match classes::check(alias) {
            Ok(()) => true,
            Err(error) => {
                let path = entry.path().display();
                self.warnings.push(format!("left out: {path}: {error}"));
                false
            }
        });
        self.add(Module {
            name: name.to_owned(),
            path: entry.path().strip_prefix(&self.directory)?.to_owned(),
            bytes: entry.metadata()?.len(),
            info,
        });
        Ok(())
    }

    /// Adds a module; of two with one name, the one that depmod would take stays, else the first.
    pub fn add(&mut self, module: Module) {
        let number = self.modules.len();
        match self.by_name.get(&folded(&module.name)) {
            None => {
                self.by_name.insert(folded(&module.name), number);
                self.modules.push(module);
            }
            Some(hidden) => {
                let hidden = &mut self.modules[*hidden];
                let (new, old) = (&module.path, &hidden.path);
                if self.search.prefers(&module.name, new, old) {
                    *hidden = module;
                }
            }
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
        } else if self.builtin_aliases().any(matches) {
            Found::Builtin
        } else {
            Found::Nothing
        }
    }

    /// Aliases of what is built in.
    pub fn builtin_aliases(&self) -> impl Iterator<Item = &String> {
        self.builtin_info.values().flat_map(|info| &info.aliases)
    }

    /// What a name or an alias of something that is built in stands for: names with `_` for `-`.
    pub fn builtins(&self, text: &str) -> Vec<&str> {
        if let Some(name) = self.builtin_names.get(&folded(text)) {
            return vec![name];
        }
        let is_meant = |info: &Modinfo| {
            info.aliases
                .iter()
                .any(|alias| classes::matches(alias, text))
        };
        let named = self.builtin_info.iter().filter(|(_, info)| is_meant(info));
        named.map(|(name, _)| name.as_str()).collect()
    }

    /// Why the file that has this name is no module, if there is one.
    pub fn damage(&self, name: &str) -> Option<&str> {
        self.damaged.get(&folded(name)).map(String::as_str)
    }

    /// The error for a name that stands for nothing, in what `place` says of it.
    pub fn unknown(&self, name: &str, place: &str) -> String {
        if let Some(why) = self.damage(name) {
            return format!("{place}: {why}");
        }
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
            .chain(self.builtin_aliases().map(String::as_str))
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
