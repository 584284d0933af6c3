//! Which modules go into the initrd, why, and in which order they load.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use globset::{GlobBuilder, GlobMatcher};

use super::{
    catalogue::{Catalogue, Found, Module},
    profile::Modules,
};

/// One module of the initrd. Its number is its place in [`Selection::modules`].
#[derive(Debug)]
pub struct Chosen<'a> {
    pub module: &'a Module,
    /// The rule that brought it in, for people.
    pub why: String,
    /// To be loaded without waiting for hardware: asked for, or needed by one that is.
    pub always: bool,
    /// Parameters, as on insmod's command line.
    pub options: String,
    /// Number of an earlier module, and whether it is a soft dependency; ascending.
    pub dependencies: Vec<(usize, bool)>,
}

/// The modules in loading order, and what people should know about the choice.
#[derive(Debug, Default)]
pub struct Selection<'a> {
    pub modules: Vec<Chosen<'a>>,
    pub warnings: Vec<String>,
}

/// Chooses what `rules` ask for and everything that it needs, and puts it into an order in which each module follows its
/// dependencies. The order depends on names alone, not on how the directory is read.
pub fn resolve<'a>(catalogue: &'a Catalogue, rules: &Modules) -> Result<Selection<'a>> {
    let mut choice = Choice {
        catalogue,
        why: BTreeMap::new(),
        edges: BTreeMap::new(),
        queue: VecDeque::new(),
        warnings: Vec::new(),
    };
    let always = choice.by_name(&rules.always, "always")?;
    choice.by_name(&rules.names, "names")?;
    choice.by_path(rules)?;
    choice.close()?;
    let order = choice.order()?;
    let always = choice.closure(always);
    let mut options = choice.options(rules)?;

    let place: BTreeMap<usize, usize> = order
        .iter()
        .enumerate()
        .map(|(place, number)| (*number, place))
        .collect();
    let Choice {
        why,
        edges,
        warnings,
        ..
    } = choice;
    let modules = order
        .iter()
        .map(|number| {
            let mut dependencies: Vec<(usize, bool)> = edges[number]
                .iter()
                .map(|(needed, soft)| (place[needed], *soft))
                .collect();
            dependencies.sort_unstable();
            Chosen {
                module: &catalogue.modules[*number],
                why: why[number].clone(),
                always: always.contains(number),
                options: options.remove(number).unwrap_or_default(),
                dependencies,
            }
        })
        .collect();
    Ok(Selection { modules, warnings })
}

/// The choice while it grows; modules by their number in the catalogue.
struct Choice<'a> {
    catalogue: &'a Catalogue,
    why: BTreeMap<usize, String>,
    /// What each chosen module needs, and whether softly.
    edges: BTreeMap<usize, BTreeMap<usize, bool>>,
    /// Chosen, but dependencies not yet looked at.
    queue: VecDeque<usize>,
    warnings: Vec<String>,
}

impl<'a> Choice<'a> {
    fn name(&self, number: usize) -> &'a str {
        &self.catalogue.modules[number].name
    }

    fn add(&mut self, number: usize, why: impl FnOnce() -> String) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.why.entry(number) {
            entry.insert(why());
            self.queue.push_back(number);
        }
    }

    /// Takes modules by name or alias; returns their numbers.
    fn by_name(&mut self, wanted: &[String], rule: &str) -> Result<BTreeSet<usize>> {
        let mut taken = BTreeSet::new();
        for name in wanted {
            match self.catalogue.find(name) {
                Found::Builtin => {}
                Found::Nothing => bail!("{}", self.unknown(name, &format!("modules.{rule}"))),
                Found::Modules(found) => {
                    for number in found {
                        let why = match self.name(number) == name {
                            true => rule.to_owned(),
                            false => format!("{rule}: {name}"),
                        };
                        self.add(number, || why);
                        taken.insert(number);
                    }
                }
            }
        }
        Ok(taken)
    }

    fn unknown(&self, name: &str, place: &str) -> String {
        let close = match self.catalogue.close_to(name).as_slice() {
            [] => String::new(),
            close => format!("; close to it: {}", close.join(", ")),
        };
        format!("{place}: this kernel has no module, alias or built-in \"{name}\"{close}")
    }

    fn by_path(&mut self, rules: &Modules) -> Result<()> {
        let exclude: Vec<GlobMatcher> = rules
            .exclude
            .iter()
            .map(|pattern| matcher(pattern))
            .collect::<Result<_>>()?;
        for pattern in &rules.paths {
            let glob = matcher(pattern)?;
            let mut used = self
                .catalogue
                .builtin
                .iter()
                .any(|path| glob.is_match(path));
            for (number, module) in self.catalogue.modules.iter().enumerate() {
                let path = module.plain_path();
                if glob.is_match(&path) || glob.is_match(&module.path) {
                    used = true;
                    if !exclude.iter().any(|glob| glob.is_match(&path)) {
                        self.add(number, || format!("paths: {pattern}"));
                    }
                }
            }
            if !used {
                self.warnings.push(format!(
                    "modules.paths: no module of this kernel matches \"{pattern}\""
                ));
            }
        }
        Ok(())
    }

    /// Adds what the chosen modules need, until nothing is missing.
    fn close(&mut self) -> Result<()> {
        while let Some(number) = self.queue.pop_front() {
            let module = &self.catalogue.modules[number];
            let mut edges = BTreeMap::new();
            for name in &module.info.soft {
                // An absent soft dependency is no mistake: the kernel may not have been built with it.
                if let Found::Modules(found) = self.catalogue.find(name) {
                    for needed in found.into_iter().filter(|needed| *needed != number) {
                        edges.insert(needed, true);
                        self.add(needed, || {
                            format!("soft dependency of {} ({name})", module.name)
                        });
                    }
                }
            }
            for name in &module.info.depends {
                match self.catalogue.find(name) {
                    Found::Builtin => {}
                    Found::Modules(found) => {
                        for needed in found {
                            edges.insert(needed, false);
                            self.add(needed, || format!("dependency of {}", module.name));
                        }
                    }
                    Found::Nothing => bail!(
                        "{}: depends on {name}, which is neither in {} nor built in",
                        module.path.display(),
                        self.catalogue.directory.display()
                    ),
                }
            }
            self.edges.insert(number, edges);
        }
        Ok(())
    }

    /// Dependencies first; among modules that could come next, the first by name.
    fn order(&self) -> Result<Vec<usize>> {
        let mut missing: BTreeMap<usize, usize> = self
            .edges
            .iter()
            .map(|(number, edges)| (*number, edges.len()))
            .collect();
        let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, edges) in &self.edges {
            for needed in edges.keys() {
                needed_by.entry(*needed).or_default().push(*number);
            }
        }
        let mut ready: BTreeSet<(&str, usize)> = missing
            .iter()
            .filter(|(_, missing)| **missing == 0)
            .map(|(number, _)| (self.name(*number), *number))
            .collect();
        let mut order = Vec::new();
        while let Some((_, number)) = ready.pop_first() {
            order.push(number);
            missing.remove(&number);
            for user in needed_by.get(&number).into_iter().flatten() {
                let left = missing
                    .get_mut(user)
                    .context("a module came before its dependency")?;
                *left -= 1;
                if *left == 0 {
                    ready.insert((self.name(*user), *user));
                }
            }
        }
        match missing.keys().next() {
            None => Ok(order),
            Some(start) => bail!(
                "modules depend on each other in a circle: {}",
                self.circle(*start, &missing)
            ),
        }
    }

    /// Each module in `left` needs another one in `left`, so following those must come back to one seen before.
    fn circle(&self, start: usize, left: &BTreeMap<usize, usize>) -> String {
        let mut path = vec![start];
        loop {
            let last = path[path.len() - 1];
            let Some(next) = self.edges[&last]
                .keys()
                .find(|needed| left.contains_key(needed))
            else {
                return self.name(last).to_owned();
            };
            if let Some(first) = path.iter().position(|seen| seen == next) {
                path.push(*next);
                let names: Vec<&str> = path[first..]
                    .iter()
                    .map(|number| self.name(*number))
                    .collect();
                return names.join(" -> ");
            }
            path.push(*next);
        }
    }

    /// `roots` and everything that they need.
    fn closure(&self, roots: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut closed = BTreeSet::new();
        let mut todo: Vec<usize> = roots.into_iter().collect();
        while let Some(number) = todo.pop() {
            if closed.insert(number) {
                todo.extend(self.edges[&number].keys());
            }
        }
        closed
    }

    /// Parameters by module number.
    fn options(&mut self, rules: &Modules) -> Result<BTreeMap<usize, String>> {
        let mut options = BTreeMap::new();
        for (name, value) in &rules.options {
            match self.catalogue.find(name) {
                Found::Nothing => bail!("{}", self.unknown(name, "modules.options")),
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

/// A pattern over paths below the modules directory: `*` stays within a component, `**` does not.
fn matcher(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .with_context(|| format!("\"{pattern}\" is no glob pattern"))?;
    Ok(glob.compile_matcher())
}
