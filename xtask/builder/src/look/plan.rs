//! The module plan as people read it, and what a modalias would load.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use toehold::format::{
    glob::DIGIT,
    plan::{ABSENT, ALWAYS, ATTEND, CONSOLE, GROUP, Key, Module, Plan},
};

use crate::{
    Verdict,
    archive::cpio,
    initrd::PLAN_NAME,
    kernel::catalogue::{Catalogue, Found, folded},
    uki,
};

/// The bytes of the plan in an initrd, or in a unified kernel image: in whichever piece it lies,
/// and the last where there are several.
pub fn of_initrd(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let file = fs::read(path)?;
        let archives = cpio::unpack_all(uki::initrd(&file)?.1)?;
        let mut entries = archives.into_iter().flatten().rev();
        let plan = entries.find(|entry| entry.inside() == PLAN_NAME);
        Ok(plan
            .with_context(|| format!("it has no /{PLAN_NAME}"))?
            .data)
    };
    read().with_context(|| format!("cannot read the plan of {}", path.display()))
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const KEYS: [Key; 21] = [
    Key::Release,
    Key::VerityName,
    Key::VerityRequired,
    Key::VerityOptions,
    Key::HashOffsetFallback,
    Key::RootHash,
    Key::UdevRule,
    Key::Locked,
    Key::Words,
    Key::Mountpoint,
    Key::Image,
    Key::OverlayOptions,
    Key::Init,
    Key::Netboot,
    Key::Carry,
    Key::PromptSeconds,
    Key::Action,
    Key::NoShell,
    Key::Shell,
    Key::Suffix,
    Key::Jobs,
];

/// Settings, then each module with what it needs and its aliases.
pub fn whole(plan: &Plan, bytes: usize) -> String {
    let modules: Vec<Module> = plan.modules().collect();
    let mut aliases = vec![Vec::new(); modules.len()];
    for group in plan.groups() {
        for set in group.sets() {
            if let Some(aliases) = aliases.get_mut(set.module) {
                aliases.extend(set.keys().map(|key| alias(group.shape, key)));
            }
        }
    }
    let count = |flag| {
        modules
            .iter()
            .filter(|module| module.flags & flag != 0)
            .count()
    };
    let absent = count(ABSENT);
    let places: Vec<usize> = plan.groups_of_pack().collect();
    let groups = places.len();
    let in_groups = match groups {
        0 => String::new(),
        _ => {
            let is_in = |module: &Module| places.iter().any(|group| module.is_in(*group));
            let count = modules.iter().filter(|module| is_in(module)).count();
            let plural = if groups == 1 { "" } else { "s" };
            format!(", {count} of them in {groups} group{plural}")
        }
    };
    let mut text = format!(
        "{} modules{in_groups}, {absent} more only known, {} aliases of {} shapes, {bytes} bytes\n",
        modules.len() - absent - groups,
        aliases.iter().map(Vec::len).sum::<usize>(),
        plan.groups().count()
    );
    for key in KEYS {
        if let Some(value) = plan.setting(key) {
            let value = match (key, value) {
                (Key::HashOffsetFallback | Key::PromptSeconds | Key::Jobs | Key::Action, _) => {
                    plan.number(key).unwrap_or_default().to_string()
                }
                (Key::VerityRequired | Key::Locked, _) => "yes".to_owned(),
                (_, value) => lossy(value.trim_ascii_end()),
            };
            let _ = writeln!(text, "{:<20}{value}", format!("{key:?}"));
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

/// One module: its name, when it is loaded if not for its hardware, its options and what it needs.
fn line(module: &Module, modules: &[Module]) -> String {
    let mut text = lossy(module.name);
    for (flag, title) in [
        (ALWAYS, "  always"),
        (CONSOLE, "  console"),
        (ATTEND, "  attend"),
        (ABSENT, "  not in this initrd"),
        (GROUP, "  of the module pack"),
    ] {
        if module.flags & flag != 0 {
            text += title;
        }
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

/// What the init would load for `modalias`, in order; and what the whole kernel has for it beside that.
pub fn loads(plan: &Plan, modalias: &str, catalogue: Option<&Catalogue>) -> (String, Verdict) {
    let modules: Vec<Module> = plan.modules().collect();
    let is_there = |number: &usize| {
        modules
            .get(*number)
            .is_some_and(|module| !is_absent(module))
    };
    let named = |module: &Module| folded(&lossy(module.name)) == folded(modalias);
    let mut matched: BTreeSet<usize> = (0..modules.len())
        .filter(|number| named(&modules[*number]))
        .collect();
    plan.lookup(modalias.as_bytes(), &mut |number| {
        matched.insert(number);
    });
    let known: Vec<usize> = matched
        .iter()
        .copied()
        .filter(|number| !is_there(number))
        .collect();
    matched.retain(is_there);

    let mut needed = BTreeSet::new();
    let mut todo: Vec<usize> = matched.iter().copied().collect();
    while let Some(number) = todo.pop() {
        if let Some(module) = modules.get(number).filter(|_| needed.insert(number)) {
            todo.extend(module.dependencies().map(|(number, _)| number));
        }
    }
    let mut text = String::new();
    for number in &needed {
        let mark = if matched.contains(number) { "*" } else { " " };
        let line = line(&modules[*number], &modules);
        let _ = writeln!(text, "{mark}{number:4}  {line}");
    }
    text += match needed.is_empty() {
        true => "no module of the initrd matches\n",
        false => "(* matches; the others are needed by it)\n",
    };
    for number in known.iter().filter_map(|number| modules.get(*number)) {
        let _ = writeln!(
            text,
            "not in the initrd, but known to match: {}",
            lossy(number.name)
        );
    }
    let Some(catalogue) = catalogue else {
        if needed.is_empty() {
            text += "(--modules-dir DIR shows what the whole kernel has for it)\n";
        }
        return (text, verdict(!needed.is_empty()));
    };
    let found = catalogue.find(modalias);
    match &found {
        Found::Builtin => text += "the kernel has it built in\n",
        Found::Nothing => text += "no module of the whole kernel matches\n",
        Found::Modules(found) => {
            let inside: BTreeSet<String> = modules
                .iter()
                .map(|module| folded(&lossy(module.name)))
                .collect();
            for number in found {
                let module = &catalogue.modules[*number];
                if !inside.contains(&folded(&module.name)) {
                    let path = module.plain_path();
                    let _ = writeln!(text, "not in the initrd, but matches: {}", path.display());
                }
            }
        }
    }
    (text, verdict(!needed.is_empty() || found == Found::Builtin))
}

fn is_absent(module: &Module) -> bool {
    module.flags & ABSENT != 0
}

fn verdict(found: bool) -> Verdict {
    match found {
        true => Verdict::Pass,
        false => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::{loads, of_initrd, whole};
    use crate::Verdict;
    use crate::{
        archive::{compress::Compression, cpio},
        initrd::Decision,
        kernel::catalogue::Catalogue,
        look::contents::tests::sample,
        plan::tests::module,
        profile::{Profile, tests::profile},
    };
    use toehold::format::plan::Plan;

    /// A kernel with drivers for two devices, of which the profile takes one, a keyboard's, and a filesystem built in.
    fn decided() -> (Catalogue, Profile) {
        let mut catalogue = Catalogue::new("lib/modules/1.2.3".as_ref());
        let mut driver = module("ahci", &["pci:v1d1*"]);
        driver.info.depends.push("libata".to_owned());
        catalogue.add(driver);
        catalogue.add(module("libata", &[]));
        catalogue.add(module("mptspi", &["pci:v1d*"]));
        let mut keyboard = module("usbhid", &["usb:v1*"]);
        keyboard.path = "kernel/drivers/hid/usbhid.ko".into();
        catalogue.add(keyboard);
        catalogue.add(module("dm-mod", &[]));
        catalogue.add_builtin("kernel/fs/ext4/ext4.ko\n");
        let rules = "names = [\"ahci\", \"usbhid\"]\nalways = [\"dm-mod\"]\noptions = { ahci = \"a=1\" }\njobs = 2";
        (catalogue, profile(rules))
    }

    #[test]
    fn what_loads_and_what_else_the_kernel_has() {
        let (catalogue, profile) = decided();
        let decision = Decision::make(&catalogue, &profile, None, None).unwrap();
        let plan = Plan::parse(&decision.plan).unwrap();
        let none = "no module of the initrd matches\n";
        let ahci = "    1  group_0  attend  of the module pack\n    2  libata  needs group_0\n*   3  ahci  options \"a=1\"  needs group_0, libata\n(* matches; the others are needed by it)\n";
        let mptspi = "not in the initrd, but matches: kernel/mptspi.ko\n";
        for (modalias, alone, beside, verdict) in [
            ("pci:v1d1sv", ahci, mptspi, Verdict::Pass),
            ("pci:v1d2sv", none, mptspi, Verdict::Fail),
            ("mptspi", none, mptspi, Verdict::Fail),
            ("ahci", ahci, "", Verdict::Pass),
            ("ext4", none, "the kernel has it built in\n", Verdict::Pass),
            (
                "pci:v2d2sv",
                none,
                "no module of the whole kernel matches\n",
                Verdict::Fail,
            ),
        ] {
            let (text, got) = loads(&plan, modalias, Some(&catalogue));
            assert_eq!(
                (text, got),
                (format!("{alone}{beside}"), verdict),
                "{modalias}"
            );
            let (text, got) = loads(&plan, modalias, None);
            assert!(text.starts_with(alone), "{text}");
            assert_eq!(got, super::verdict(alone == ahci), "{modalias}");
        }
    }

    #[test]
    fn a_whole_plan() {
        let (catalogue, profile) = decided();
        let decision = Decision::make(&catalogue, &profile, None, None).unwrap();
        let text = whole(&Plan::parse(&decision.plan).unwrap(), decision.plan.len());
        for want in [
            "4 modules, 3 of them in 1 group, 0 more only known, 2 aliases of 2 shapes, ",
            "\nRelease             1.2.3\n",
            "\nJobs                2\n",
            "\n   0  dm_mod  always\n",
            "\n   1  group_0  attend  of the module pack\n",
            "\n   3  ahci  options \"a=1\"  needs group_0, libata\n        pci:v1d1*\n",
            "\n   4  usbhid  console  attend  needs group_0\n",
        ] {
            assert!(text.contains(want), "{text}lacks {want}");
        }
    }

    #[test]
    fn the_plan_lies_in_any_piece() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("initrd");
        let [pack, plan] = sample();
        let [plain, packed] = [&pack, &plan].map(|entry| cpio::pack([entry]).unwrap());
        let packed = Compression::Zstd.pack(packed).unwrap();
        let mut padded = packed.clone();
        padded.resize(packed.len().next_multiple_of(4), 0);
        for initrd in [
            [plain.clone(), packed].concat(),
            [padded, plain.clone()].concat(),
        ] {
            std::fs::write(&path, initrd).unwrap();
            assert_eq!(of_initrd(&path).unwrap(), plan.data);
        }
        std::fs::write(&path, plain).unwrap();
        let error = format!("{:#}", of_initrd(&path).unwrap_err());
        assert!(error.ends_with("it has no /toehold.plan"), "{error}");
    }
}
