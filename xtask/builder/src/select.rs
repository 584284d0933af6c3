//! Which modules go into the initrd, why, and in which order they load.

pub mod groups;
mod order;
mod paths;
pub mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, bail, ensure};
use toehold::format::plan::ATTEND;

use crate::{
    kernel::{
        catalogue::{Catalogue, Found, Module, folded},
        near,
    },
    profile::Modules,
};
pub use order::Rank;
pub(crate) use paths::Rule;

/// One module of the initrd. Its number is its place in [`Selection::modules`].
#[derive(Debug)]
pub struct Chosen<'a> {
    pub module: &'a Module,
    /// The rule that brought it in, or what needs it; for people.
    pub why: String,
    /// Names of those that it came for: the one that needs it, the one that needs that, up to one that a rule chose. Empty where a
    /// rule chose it.
    pub needed_by: Vec<&'a str>,
    pub rank: Rank,
    /// A console can hang on it.
    pub attends: bool,
    /// Parameters, as on insmod's command line.
    pub options: String,
    /// Number of an earlier module, and whether it is a soft dependency; ascending.
    pub dependencies: Vec<(usize, bool)>,
    /// Its group in the module pack; none where its file is in the initrd.
    pub group: Option<usize>,
}

impl Chosen<'_> {
    /// The module's flags in the plan.
    pub fn flags(&self) -> u8 {
        let attends = if self.attends { ATTEND } else { 0 };
        self.rank.flags() | attends
    }
}

/// The modules in loading order, and what people should know about the choice.
#[derive(Debug, Default)]
pub struct Selection<'a> {
    pub modules: Vec<Chosen<'a>>,
    /// Those that hardware may ask for and that were left out, by name: for reports.
    pub known: Vec<&'a Module>,
    /// Names of firmware that what is built in wants, of that which a rule asks for; and who wants it.
    pub firmware: Vec<(&'a str, String)>,
    pub warnings: Vec<String>,
}

/// The rule whose names need not be this kernel's.
const OPTIONAL: &str = "optional";

/// How much a module needs another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It cannot be loaded without.
    Hard,
    /// To be loaded first if that is possible.
    Soft,
    /// To be at hand, should it be asked for.
    Weak,
}

/// What each chosen module needs, by numbers in the catalogue.
type Edges = BTreeMap<usize, BTreeMap<usize, Need>>;

/// Chooses what `rules` ask for and everything that it needs, and puts it into an order in which each module follows its
/// dependencies. The order depends on names and sizes alone, not on how the directory is read.
pub fn resolve<'a>(catalogue: &'a Catalogue, rules: &Modules) -> Result<Selection<'a>> {
    let mut choice = Choice {
        catalogue,
        why: BTreeMap::new(),
        edges: BTreeMap::new(),
        queue: VecDeque::new(),
        firmware: Vec::new(),
        warnings: catalogue.warnings.clone(),
    };
    let always = choice.by_name(&rules.always, "always")?;
    choice.by_name(&rules.names, "names")?;
    choice.by_name(&rules.optional, OPTIONAL)?;
    choice.by_path(rules)?;
    choice.close()?;
    let ranks = choice.ranks(always);
    let attend = choice.choose(|module| order::attends(&module.path, &module.name));
    let mut options = choice.options(rules)?;
    let order = order::order(
        &mut choice.edges,
        |number| ranks[&number],
        |number| &catalogue.modules[number].name,
        |number| catalogue.modules[number].bytes,
        &mut choice.warnings,
    )?;

    let place: BTreeMap<usize, usize> = order
        .iter()
        .enumerate()
        .map(|(place, number)| (*number, place))
        .collect();
    let modules = order
        .iter()
        .map(|number| {
            let mut dependencies: Vec<(usize, bool)> = choice.edges[number]
                .iter()
                .filter(|(_, need)| **need != Need::Weak)
                .map(|(needed, need)| (place[needed], *need == Need::Soft))
                .collect();
            dependencies.sort_unstable();
            Chosen {
                module: &catalogue.modules[*number],
                why: choice.why[number].text.clone(),
                needed_by: choice.needed_by(*number),
                rank: ranks[number],
                attends: attend.contains(number),
                options: options.remove(number).unwrap_or_default(),
                dependencies,
                group: None,
            }
        })
        .collect();
    Ok(Selection {
        known: choice.known(&rules.known)?,
        modules,
        firmware: choice.firmware,
        warnings: choice.warnings,
    })
}

/// Whether an alias is one that hardware asks by: `pci:v…`, not `fs-btrfs`.
pub fn is_hardware(alias: &str) -> bool {
    alias.contains(':')
}

/// Why a module was chosen.
struct Reason {
    text: String,
    /// The module that needs it; none if a rule asks for it.
    needed_by: Option<usize>,
}

/// The choice while it grows; modules by their number in the catalogue.
struct Choice<'a> {
    catalogue: &'a Catalogue,
    why: BTreeMap<usize, Reason>,
    edges: Edges,
    /// Chosen, but dependencies not yet looked at.
    queue: VecDeque<usize>,
    firmware: Vec<(&'a str, String)>,
    warnings: Vec<String>,
}

impl<'a> Choice<'a> {
    fn name(&self, number: usize) -> &'a str {
        &self.catalogue.modules[number].name
    }

    fn add(&mut self, number: usize, needed_by: Option<usize>, text: impl FnOnce() -> String) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.why.entry(number) {
            let text = text();
            entry.insert(Reason { text, needed_by });
            self.queue.push_back(number);
        }
    }

    /// Takes modules by name or alias; returns their numbers.
    fn by_name(&mut self, wanted: &[String], rule: &str) -> Result<BTreeSet<usize>> {
        let mut taken = BTreeSet::new();
        for name in wanted {
            match self.catalogue.find(name) {
                Found::Builtin => taken.extend(self.of_builtin(name)),
                Found::Nothing if rule == OPTIONAL => {}
                Found::Nothing => bail!(
                    "{}",
                    self.catalogue.unknown(name, &format!("modules.{rule}"))
                ),
                Found::Modules(found) => {
                    for number in found {
                        let why = match self.name(number) == name {
                            true => rule.to_owned(),
                            false => format!("{rule}: {name}"),
                        };
                        self.add(number, None, || why);
                        taken.insert(number);
                    }
                }
            }
        }
        Ok(taken)
    }

    /// Takes the modules that something built in loads softly, or requests while it runs; returns their numbers.
    fn of_builtin(&mut self, text: &str) -> BTreeSet<usize> {
        let mut taken = BTreeSet::new();
        let catalogue = self.catalogue;
        for builtin in catalogue.builtins(text) {
            let info = catalogue.builtin_info.get(builtin);
            let soft = info.into_iter().flat_map(|info| &info.soft);
            let wishes = requests::of(builtin).iter().copied();
            for name in wishes.chain(soft.map(String::as_str)) {
                if let Found::Modules(found) = catalogue.find(name) {
                    for number in found {
                        self.add(number, None, || format!("{builtin}, built in: {name}"));
                        taken.insert(number);
                    }
                }
            }
            let firmware = info.into_iter().flat_map(|info| &info.firmware);
            let wanted = firmware.map(|name| (name.as_str(), format!("{builtin}, built in")));
            self.firmware.extend(wanted);
        }
        taken
    }

    /// Takes modules by glob pattern. One that matches nothing is a mistake; but one kernel has as modules what another
    /// has not at all, so of alternatives in braces one is enough, and `exclude` may be about nothing.
    fn by_path(&mut self, rules: &Modules) -> Result<()> {
        let exclude = Rule::list(&rules.exclude)?;
        for rule in Rule::list(&rules.paths)? {
            ensure!(
                rule.matches_any(self.catalogue),
                "modules.paths: this kernel has nothing, as a module or built in, that \"{}\" matches{}",
                rule.pattern,
                rule.hint(self.catalogue)
            );
            for (number, module) in self.catalogue.modules.iter().enumerate() {
                if rule.takes(module) && !exclude.iter().any(|exclude| exclude.takes(module)) {
                    self.add(number, None, || format!("paths: {}", rule.pattern));
                }
            }
        }
        for rule in exclude {
            if !rule.matches_any(self.catalogue) {
                self.warnings.push(format!(
                    "modules.exclude: no module of this kernel matches \"{}\"",
                    rule.pattern
                ));
            }
        }
        Ok(())
    }

    /// Modules that drive hardware, by glob pattern, and were not chosen.
    fn known(&self, patterns: &[String]) -> Result<Vec<&'a Module>> {
        let rules = Rule::list(patterns)?;
        let modules = (0..).zip(&self.catalogue.modules);
        let mut known: Vec<&Module> = modules
            .filter(|(number, module)| {
                !self.why.contains_key(number)
                    && module.info.aliases.iter().any(|alias| is_hardware(alias))
                    && rules.iter().any(|rule| rule.takes(module))
            })
            .map(|(_, module)| module)
            .collect();
        known.sort_by_key(|module| &module.name);
        Ok(known)
    }

    /// Adds what the chosen modules need, until nothing is missing.
    fn close(&mut self) -> Result<()> {
        let catalogue = self.catalogue;
        while let Some(number) = self.queue.pop_front() {
            let module = &catalogue.modules[number];
            let mut edges = BTreeMap::new();
            let requests = requests::of(&folded(&module.name)).iter().copied();
            let soft = module.info.soft.iter().map(String::as_str);
            let weak = module.info.weak.iter().map(String::as_str);
            let wishes = weak
                .map(|name| (name, Need::Weak, "weak dependency of"))
                .chain(requests.map(|name| (name, Need::Soft, "requested by")))
                .chain(soft.map(|name| (name, Need::Soft, "soft dependency of")));
            for (name, need, text) in wishes {
                // What is absent is no mistake: the kernel may not have been built with it.
                if let Found::Modules(found) = catalogue.find(name) {
                    for needed in found.into_iter().filter(|needed| *needed != number) {
                        edges.insert(needed, need);
                        self.add(needed, Some(number), || {
                            format!("{text} {} ({name})", module.name)
                        });
                    }
                }
            }
            for name in &module.info.depends {
                match catalogue.find(name) {
                    Found::Builtin => {}
                    Found::Modules(found) => {
                        for needed in found {
                            edges.insert(needed, Need::Hard);
                            self.add(needed, Some(number), || {
                                format!("dependency of {}", module.name)
                            });
                        }
                    }
                    Found::Nothing => {
                        if let Some(why) = catalogue.damage(name) {
                            bail!("{}: depends on {name}: {why}", module.path.display());
                        }
                        let names = catalogue.modules.iter().map(|module| module.name.as_str());
                        bail!(
                            "{}: depends on {name}, which is neither in {} nor built in{}",
                            module.path.display(),
                            catalogue.directory.display(),
                            near::hint(name, names)
                        )
                    }
                }
            }
            self.edges.insert(number, edges);
        }
        Ok(())
    }

    /// The modules that one came for, the next first.
    fn needed_by(&self, number: usize) -> Vec<&'a str> {
        let up = |number: &usize| self.why[number].needed_by;
        std::iter::successors(up(&number), up)
            .map(|number| self.name(number))
            .collect()
    }

    /// When each module loads. One that is made for people keeps its place among the others if one of those needs it, and
    /// one that only those for people need goes with them.
    fn ranks(&self, always: BTreeSet<usize>) -> BTreeMap<usize, Rank> {
        let always = self.closure(always, &[Need::Hard, Need::Soft]);
        let chosen = self.why.iter().filter(|(number, reason)| {
            let module = &self.catalogue.modules[**number];
            reason.needed_by.is_none() && !order::serves_console(&module.path, &module.name)
        });
        let hardware = self.closure(
            chosen.map(|(number, _)| *number).collect(),
            &[Need::Hard, Need::Soft, Need::Weak],
        );
        let direct = self.choose(|module| order::is_direct(&module.path, &module.name));
        let rank = |number: &usize| {
            if always.contains(number) {
                Rank::Always
            } else if direct.contains(number) {
                Rank::Direct
            } else if hardware.contains(number) {
                Rank::Hardware
            } else {
                Rank::Console
            }
        };
        self.why
            .keys()
            .map(|number| (*number, rank(number)))
            .collect()
    }

    /// The modules that are wanted, and what they need to be loaded.
    fn choose(&self, wanted: impl Fn(&Module) -> bool) -> BTreeSet<usize> {
        let chosen = self.why.keys().copied();
        let roots = chosen.filter(|number| wanted(&self.catalogue.modules[*number]));
        self.closure(roots.collect(), &[Need::Hard, Need::Soft])
    }

    /// `roots` and everything that they need, as far as `needs` go.
    fn closure(&self, roots: BTreeSet<usize>, needs: &[Need]) -> BTreeSet<usize> {
        let mut closed = BTreeSet::new();
        let mut todo: Vec<usize> = roots.into_iter().collect();
        while let Some(number) = todo.pop() {
            if closed.insert(number) {
                let wanted = self.edges[&number].iter();
                todo.extend(
                    wanted
                        .filter(|(_, need)| needs.contains(need))
                        .map(|(number, _)| *number),
                );
            }
        }
        closed
    }

    /// Parameters by module number.
    fn options(&mut self, rules: &Modules) -> Result<BTreeMap<usize, String>> {
        let mut options = BTreeMap::new();
        for (name, value) in &rules.options {
            match self.catalogue.find(name) {
                Found::Nothing => bail!("{}", self.catalogue.unknown(name, "modules.options")),
                Found::Builtin => self.warnings.push(format!(
                    "modules.options: {name} is built into this kernel; give its parameters on the kernel command line"
                )),
                Found::Modules(found) => match found.as_slice() {
                    [number] if self.why.contains_key(number) => {
                        options.insert(*number, value.clone());
                    }
                    [_] => self.warnings.push(format!("modules.options: {name} is not in this initrd")),
                    _ => bail!("modules.options: \"{name}\" is an alias of several modules; name one"),
                },
            }
        }
        Ok(options)
    }
}
