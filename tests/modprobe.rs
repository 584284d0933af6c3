//! The real depmod and modprobe as the oracle of the plan: which modules an alias means, and what is loaded before them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use toehold::format::plan::Plan;
use xtask::initrd::{catalogue::Catalogue, plan, profile::Profile, resolve};
use xtask::kernels::{self, Series};
use xtask::{paths, tools};

/// Modaliases of hardware that is common, some of it served by several modules or by none.
const HARDWARE: &[&str] = &[
    "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00",
    "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
    "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02",
    "pci:v00001000d00000030sv000015ADsd00001976bc01sc00i00",
    "pci:v00001022d0000149Csv00001022sd0000149Cbc0Csc03i30",
    "pci:v0000FFFFd0000FFFFsv0000FFFFsd0000FFFFbcFFscFFiFF",
    "virtio:d00000002v00001AF4",
    "virtio:d00000008v00001AF4",
    "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00",
    "usb:v152Dp0578d0304dc00dsc00dp00ic08isc06ip62in00",
    "usb:v046DpC52Bd1211dc00dsc00dp00ic03isc01ip01in00",
    "hid:b0003g0001v0000046Dp0000C52B",
    "scsi:t-0x00",
    "scsi:t-0x05",
    "mmc:block",
    "acpi:PNP0303:",
    "acpi:VMBUS:",
    "serio:ty06pr00id00ex00",
    "vmbus:d96361baa104294db60572e2ffb1dc7f",
    "platform:no-such-device",
];

/// `-` and `_` are one character in module names.
fn folded(name: &str) -> String {
    name.replace('-', "_")
}

/// Text that a pattern matches: something in place of each wildcard.
fn instance(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => text.push_str("0Z"),
            '?' => text.push('1'),
            '[' => {
                text.extend(rest.next());
                rest.by_ref().find(|character| *character == ']');
            }
            other => text.push(other),
        }
    }
    text
}

struct Oracle {
    room: tempfile::TempDir,
    release: String,
}

impl Oracle {
    /// The kernel's whole directory, with the indexes that its package does not have.
    fn new(modules_dir: &Path, release: &str) -> Self {
        let room = tempfile::tempdir().expect("a folder");
        let directory = room.path().join("lib/modules").join(release);
        fs::create_dir_all(&directory).expect("a folder");
        for entry in fs::read_dir(modules_dir).expect("the kernel's modules") {
            let entry = entry.expect("an entry");
            symlink(entry.path(), directory.join(entry.file_name())).expect("a link");
        }
        let oracle = Self {
            room,
            release: release.to_owned(),
        };
        let mut depmod = tools::DEPMOD.command().expect("depmod");
        depmod.arg("-b").arg(oracle.room.path()).arg(release);
        assert!(depmod.status().expect("depmod runs").success());
        oracle
    }

    /// What modprobe prints; nothing where it finds nothing.
    fn ask(&self, question: &[&str]) -> String {
        let mut modprobe = tools::MODPROBE.command().expect("modprobe");
        modprobe.arg("-d").arg(self.room.path());
        // Without this machine's own modprobe.d.
        modprobe.args(["-C", "/dev/null", "-S", &self.release, "-q"]);
        modprobe.args(question);
        let output = modprobe.output().expect("modprobe runs");
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn aliases_and_order_as_modprobe_has_them() {
    tools::require(&[tools::DEPMOD, tools::MODPROBE]).expect("kmod");
    let kernel = kernels::fetch(Series::Generic61).expect("a kernel");
    let profile = paths::root().join("xtask/profiles/flatcar.toml");
    let profile = Profile::read(&profile).expect("a profile");
    let catalogue = Catalogue::read(&kernel.modules_dir).expect("the modules");
    let selection = resolve::resolve(&catalogue, &profile.modules).expect("a selection");
    let file =
        plan::encode(&selection.modules, &profile.settings(&kernel.release)).expect("a plan");
    let plan = Plan::parse(&file)
        .map_err(|why| format!("{why:?}"))
        .expect("a plan");
    let names: Vec<String> = plan
        .modules()
        .map(|module| folded(std::str::from_utf8(module.name).expect("a name")))
        .collect();
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let oracle = Oracle::new(&kernel.modules_dir, &kernel.release);

    let mut texts: BTreeSet<String> = HARDWARE.iter().map(|text| (*text).to_owned()).collect();
    for chosen in &selection.modules {
        texts.extend(
            chosen
                .module
                .info
                .aliases
                .iter()
                .map(|alias| instance(alias)),
        );
    }
    assert!(texts.len() > 8000, "only {} aliases", texts.len());
    let texts: Vec<String> = texts.into_iter().collect();

    let compare = |texts: &[String]| -> Vec<String> {
        let mut wrong = Vec::new();
        for text in texts {
            let mut ours = BTreeSet::new();
            plan.lookup(text.as_bytes(), &mut |number| {
                ours.insert(names[number].clone());
            });
            // A module's own name is no alias of the plan: the init looks at names first, as modprobe does.
            if known.contains(folded(text).as_str()) {
                ours = BTreeSet::from([folded(text)]);
            }
            let theirs = oracle.ask(&["-R", text]);
            let theirs: BTreeSet<String> = theirs
                .lines()
                .map(folded)
                .filter(|name| known.contains(name.as_str()))
                .collect();
            if ours != theirs {
                wrong.push(format!("{text}: {ours:?}, modprobe {theirs:?}"));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let halves = texts.chunks(texts.len().div_ceil(2));
        let threads: Vec<_> = halves.map(|half| scope.spawn(|| compare(half))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a comparison"))
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        texts.len(),
        wrong.join("\n")
    );

    // Everything that modprobe would load before a module stands before it, and is among what it needs.
    let place: BTreeMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), place))
        .collect();
    let mut needs: Vec<BTreeSet<usize>> = Vec::new();
    for (number, module) in plan.modules().enumerate() {
        let mut all = BTreeSet::new();
        for (needed, _) in module.dependencies() {
            all.insert(needed);
            all.extend(needs[needed].iter().copied());
        }
        let shown = oracle.ask(&["--show-depends", &names[number]]);
        for line in shown
            .lines()
            .filter_map(|line| line.strip_prefix("insmod "))
        {
            let path = line.split_whitespace().next().expect("a path");
            let stem = Path::new(path)
                .file_stem()
                .expect("a name")
                .to_string_lossy();
            let needed = place.get(folded(&stem).as_str()).copied();
            let needed = needed
                .unwrap_or_else(|| panic!("{} needs {stem}, which is not there", names[number]));
            assert!(
                needed == number || all.contains(&needed),
                "{} is loaded without {stem}",
                names[number]
            );
        }
        assert!(
            shown.contains("insmod "),
            "modprobe does not know {}",
            names[number]
        );
        needs.push(all);
    }
}
