//! `cargo xtask plan`: the module plan as people read it, or what a modalias would load.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use toehold::format::{
    glob::{self, DIGIT},
    plan::{ALWAYS, Key, Module, Plan},
};

use crate::{
    Verdict,
    initrd::{
        self, PLAN_NAME, catalogue::Catalogue, compress, cpio, profile::Profile, resolve::resolve,
    },
};

#[derive(clap::Args)]
pub struct Args {
    /// The initrd whose plan to show
    #[arg(
        required_unless_present = "modules_dir",
        conflicts_with = "modules_dir"
    )]
    initrd: Option<PathBuf>,
    /// The kernel's modules, to show the plan that they and a profile would make
    #[arg(long, value_name = "DIR", requires = "profile")]
    modules_dir: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "modules_dir")]
    profile: Option<PathBuf>,
    /// Show only what this modalias, alias or module name would load; exit 1 if that is nothing
    #[arg(long, value_name = "STRING")]
    modalias: Option<String>,
}

pub fn run(args: Args) -> Result<Verdict> {
    let file = match (&args.initrd, &args.modules_dir, &args.profile) {
        (Some(initrd), ..) => of_initrd(initrd)?,
        (None, Some(modules_dir), Some(profile)) => {
            let profile = Profile::read(profile)?;
            let catalogue = Catalogue::read(modules_dir)?;
            let selection = resolve(&catalogue, &profile.modules)?;
            let settings = profile.settings(catalogue.release()?);
            initrd::plan::encode(&selection.modules, &settings)?
        }
        _ => unreachable!("clap asks for one of them"),
    };
    let plan =
        Plan::parse(&file).map_err(|refused| anyhow!("the plan is damaged ({refused:?})"))?;
    let (text, verdict) = match &args.modalias {
        Some(modalias) => loads(&plan, modalias),
        None => (whole(&plan, file.len()), Verdict::Pass),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it, `head` for example, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(verdict),
        result => result.map(|()| verdict).context("cannot write the plan"),
    }
}

/// The bytes of the plan in an initrd, compressed or not.
fn of_initrd(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let entries = cpio::unpack(&compress::unpack(std::fs::read(path)?)?)?;
        let plan = entries.into_iter().find(|entry| entry.path == PLAN_NAME);
        Ok(plan
            .with_context(|| format!("it has no /{PLAN_NAME}"))?
            .data)
    };
    read().with_context(|| format!("cannot read the plan of {}", path.display()))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const KEYS: [Key; 12] = [
    Key::Release,
    Key::VerityName,
    Key::VerityRequired,
    Key::HashOffset,
    Key::OnCorruption,
    Key::Mountpoint,
    Key::Image,
    Key::OverlayOptions,
    Key::Init,
    Key::PromptSeconds,
    Key::Suffix,
    Key::Jobs,
];

/// Settings, then each module with what it needs and its aliases.
fn whole(plan: &Plan, bytes: usize) -> String {
    let modules: Vec<Module> = plan.modules().collect();
    let mut aliases = vec![Vec::new(); modules.len()];
    for group in plan.groups() {
        for set in group.sets() {
            if let Some(aliases) = aliases.get_mut(set.module) {
                aliases.extend(set.keys().map(|key| alias(group.shape, key)));
            }
        }
    }
    let mut text = format!(
        "{} modules, {} aliases of {} shapes, {bytes} bytes\n",
        modules.len(),
        aliases.iter().map(Vec::len).sum::<usize>(),
        plan.groups().count()
    );
    for key in KEYS {
        if let Some(value) = plan.setting(key) {
            let value = match (key, value) {
                (Key::HashOffset | Key::PromptSeconds | Key::Jobs, _) => {
                    plan.number(key).unwrap_or_default().to_string()
                }
                (Key::VerityRequired, _) => "yes".to_owned(),
                (_, value) => lossy(value),
            };
            let _ = writeln!(text, "{:<16}{value}", format!("{key:?}"));
        }
    }
    for (number, module) in modules.iter().enumerate() {
        let _ = writeln!(text, "\n{number:4}  {}", line(module, &modules));
        for alias in &aliases[number] {
            let _ = writeln!(text, "        {alias}");
        }
    }
    text
}

/// One module: its name, whether it is always loaded, its options and what it needs.
fn line(module: &Module, modules: &[Module]) -> String {
    let mut text = lossy(module.name);
    if module.flags & ALWAYS != 0 {
        text += "  always";
    }
    if !module.options.is_empty() {
        let _ = write!(text, "  options \"{}\"", lossy(module.options));
    }
    for (soft, title) in [(false, "needs"), (true, "softly")] {
        let names: Vec<String> = module
            .dependencies()
            .filter(|(_, is_soft)| *is_soft == soft)
            .filter_map(|(number, _)| modules.get(number).map(|needed| lossy(needed.name)))
            .collect();
        if !names.is_empty() {
            let _ = write!(text, "  {title} {}", names.join(", "));
        }
    }
    text
}

/// The alias that a shape and a key stand for.
fn alias(shape: &[u8], mut key: u64) -> String {
    let mut alias = shape.to_vec();
    for byte in alias.iter_mut().rev().filter(|byte| **byte == DIGIT) {
        *byte = b"0123456789ABCDEF"[(key & 15) as usize];
        key >>= 4;
    }
    lossy(&alias)
}

/// What the init would load for `modalias`, in order.
fn loads(plan: &Plan, modalias: &str) -> (String, Verdict) {
    let modules: Vec<Module> = plan.modules().collect();
    let fold = |name: &[u8]| {
        name.iter()
            .map(|byte| glob::fold(*byte))
            .collect::<Vec<u8>>()
    };
    let mut matched = BTreeSet::new();
    plan.lookup(modalias.as_bytes(), &mut |number| {
        matched.insert(number);
    });
    matched.extend(
        (0..modules.len())
            .filter(|number| fold(modules[*number].name) == fold(modalias.as_bytes())),
    );

    let mut needed = BTreeSet::new();
    let mut todo: Vec<usize> = matched.iter().copied().collect();
    while let Some(number) = todo.pop() {
        if let Some(module) = modules.get(number).filter(|_| needed.insert(number)) {
            todo.extend(module.dependencies().map(|(number, _)| number));
        }
    }
    if needed.is_empty() {
        return (format!("nothing matches {modalias}\n"), Verdict::Fail);
    }
    let mut text = String::new();
    for number in needed {
        let mark = if matched.contains(&number) { "*" } else { " " };
        let _ = writeln!(
            text,
            "{mark}{number:4}  {}",
            line(&modules[number], &modules)
        );
    }
    text += "(* matches; the others are needed by it)\n";
    (text, Verdict::Pass)
}
