//! The plan against the real `depmod` and `modprobe`: the same modules for every alias, and dependencies in an order that works.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use toehold::format::plan::Plan;
use xtask::{
    initrd::{catalogue::Catalogue, plan, profile::Profile, resolve},
    kernels::{self, Series},
    paths, tools,
};

/// Module names, `-` and `_` being one.
type Names = BTreeSet<String>;

/// Modaliases for one `modprobe` process.
const BATCH: usize = 500;

/// Debian's generic kernel, indexed by the real `depmod`, and the plan of Flatcar's profile for it.
struct Oracle {
    /// Holds `lib/modules/RELEASE`, and `modprobe.d` in place of this machine's configuration.
    root: tempfile::TempDir,
    release: String,
    plan: Vec<u8>,
    /// The plan's modules in loading order.
    modules: Vec<String>,
}

/// Both tests ask the same one: reading four thousand modules takes seconds.
fn oracle() -> &'static Oracle {
    static ORACLE: OnceLock<Oracle> = OnceLock::new();
    ORACLE.get_or_init(Oracle::new)
}

fn fold(name: &str) -> String {
    name.replace('-', "_")
}

impl Oracle {
    fn new() -> Self {
        tools::require(&[tools::DEPMOD, tools::MODPROBE]).expect("kmod");
        let kernel = kernels::fetch(Series::Generic61).expect("a kernel");
        let root = tempfile::tempdir().expect("a directory");
        let indexed = root.path().join("lib/modules").join(&kernel.release);
        fs::create_dir_all(&indexed).expect("a directory");
        for entry in fs::read_dir(&kernel.modules_dir).expect("the kernel's modules") {
            let entry = entry.expect("an entry");
            symlink(entry.path(), indexed.join(entry.file_name())).expect("a link");
        }
        let mut depmod = tools::DEPMOD.command().expect("depmod");
        tools::run(depmod.arg("-b").arg(root.path()).arg(&kernel.release)).expect("indexes");
        fs::create_dir(root.path().join("modprobe.d")).expect("a directory");
        // A name that is printed between the answers to two modaliases.
        fs::write(
            root.path().join("modprobe.d/boundary.conf"),
            "alias boundary boundary\n",
        )
        .expect("a configuration");

        let profile = paths::root().join("xtask/profiles/flatcar.toml");
        let profile = Profile::read(&profile).expect("the profile");
        let catalogue = Catalogue::read(&kernel.modules_dir).expect("the kernel's modules");
        let selection = resolve::resolve(&catalogue, &profile.modules).expect("a selection");
        let settings = profile.settings(&kernel.release);
        let plan = plan::encode(&selection.modules, &settings).expect("a plan");
        let modules = Plan::parse(&plan)
            .expect("a plan")
            .modules()
            .map(|module| fold(std::str::from_utf8(module.name).expect("a name")))
            .collect();
        Self {
            root,
            release: kernel.release,
            plan,
            modules,
        }
    }

    fn modprobe(&self) -> Command {
        let mut command = tools::MODPROBE.command().expect("modprobe");
        command
            .env_remove("MODPROBE_OPTIONS")
            .stdin(Stdio::null())
            .args(["--quiet", "--set-version", &self.release, "--dirname"])
            .arg(self.root.path())
            .arg("--config")
            .arg(self.root.path().join("modprobe.d"));
        command
    }

    /// What the real modprobe would load for each of `modaliases`, dependencies aside.
    fn resolve(&self, modaliases: &[String]) -> Vec<Names> {
        let output = self
            .modprobe()
            .args(["--resolve-alias", "--all", "--"])
            .args(modaliases.iter().flat_map(|text| [text, "boundary"]))
            .output()
            .expect("modprobe runs");
        let text = String::from_utf8(output.stdout).expect("module names");
        let mut answers = vec![Names::new()];
        for name in text.lines() {
            match (name, answers.last_mut()) {
                ("boundary", _) => answers.push(Names::new()),
                (_, Some(answer)) => {
                    answer.insert(fold(name));
                }
                (_, None) => unreachable!("there is always an answer begun"),
            }
        }
        assert_eq!(
            answers.pop(),
            Some(Names::new()),
            "names behind the last boundary"
        );
        assert_eq!(
            answers.len(),
            modaliases.len(),
            "answers of modprobe: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        answers
    }

    /// What the plan has for `modalias`.
    fn lookup(&self, plan: &Plan, modalias: &str) -> Names {
        let mut found = Names::new();
        plan.lookup(modalias.as_bytes(), &mut |number| {
            found.insert(self.modules[number].clone());
        });
        found
    }
}

/// A text that `pattern` matches; `turn` chooses among many.
fn instance(pattern: &str, turn: &mut usize) -> String {
    // The last ones look like fields that follow, so that a matcher has to go back.
    const ANYTHING: [&str; 6] = ["", "00000001", "FFFF", "01sc06i01", "0sd0", "Virtual:pn"];
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        *turn += 1;
        match next {
            '*' => text.push_str(ANYTHING[*turn % ANYTHING.len()]),
            '?' => text.push(['0', 'F'][*turn % 2]),
            '[' => {
                let class: Vec<char> = rest.by_ref().take_while(|next| *next != ']').collect();
                assert!(
                    class.first().is_some_and(|first| !"!^".contains(*first)),
                    "{pattern}: a class that this test cannot instantiate"
                );
                text.push(class[[0, class.len() - 1][*turn % 2]]);
            }
            _ => text.push(next),
        }
    }
    text
}

/// `text` with one character changed: nearly what some driver asks for.
fn near_miss(text: &str, turn: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = turn % bytes.len();
    bytes[place] = if bytes[place] == b'0' { b'8' } else { b'0' };
    String::from_utf8(bytes).expect("aliases are ASCII")
}

/// For each alias that `depmod` wrote down a modalias, half of them with `-` for `_`, and some that miss it by a character.
fn from_index(index: &Path) -> Vec<String> {
    let index = fs::read_to_string(index).expect("the index of aliases");
    let mut turn = 0;
    let mut modaliases = Vec::new();
    for (number, line) in index.lines().enumerate() {
        let Some((pattern, _)) = line
            .strip_prefix("alias ")
            .and_then(|line| line.rsplit_once(' '))
        else {
            continue;
        };
        let text = instance(pattern, &mut turn);
        if number % 4 == 0 {
            modaliases.push(near_miss(&text, turn));
        }
        modaliases.push(match number % 2 {
            0 => text.replace('_', "-"),
            _ => text,
        });
    }
    modaliases
}

/// As buses of real and virtual machines report themselves, whether or not a driver is there for them.
fn from_buses() -> Vec<String> {
    let mut modaliases = Vec::new();
    let pci_classes = "010601 010802 010400 010107 01018A 010700 080501 0C0330 0C0320 0C0310 0C0300 060400 020000 030000 0C0500 FF0000";
    for (vendor, device) in [
        ("8086", "2922"),
        ("8086", "A0D3"),
        ("1022", "7901"),
        ("1AF4", "1001"),
        ("1AF4", "1042"),
        ("1B36", "0010"),
        ("144D", "A808"),
        ("1000", "005D"),
        ("1D0F", "8061"),
        ("15AD", "07C0"),
        ("1234", "1111"),
        ("FFFF", "FFFF"),
    ] {
        for class in pci_classes.split(' ') {
            modaliases.push(format!(
                "pci:v0000{vendor}d0000{device}sv00001AF4sd00001100bc{}sc{}i{}",
                &class[..2],
                &class[2..4],
                &class[4..]
            ));
        }
    }
    for device in [
        "v1D6Bp0003",
        "v0781p5581",
        "v046DpC31C",
        "v152Dp0578",
        "v0000p0000",
    ] {
        for class in [
            "080650", "080662", "080255", "030101", "030102", "030000", "090000", "020201",
            "FFFF00", "E00101",
        ] {
            modaliases.push(format!(
                "usb:{device}d0100dc00dsc00dp00ic{}isc{}ip{}in00",
                &class[..2],
                &class[2..4],
                &class[4..]
            ));
        }
    }
    for bus in ["0003", "0005", "0018", "0006"] {
        for group in ["0000", "0001", "0004", "0102"] {
            for device in [
                "v0000046Dp0000C52B",
                "v000005ACp00000250",
                "v0000045Ep000007A5",
                "v00000001p00000001",
            ] {
                modaliases.push(format!("hid:b{bus}g{group}{device}"));
            }
        }
    }
    for number in 0..=0x2Au32 {
        modaliases.push(format!("virtio:d{number:08X}v00001AF4"));
        modaliases.push(format!("virtio:d{number:08X}v0000554D"));
        modaliases.push(format!("scsi:t-0x{number:02x}"));
        modaliases.push(format!("serio:ty{number:02X}pr00id00ex00"));
        modaliases.push(format!("sdio:c{number:02X}v02D0d4329"));
    }
    let others = "acpi:PNP0A08:PNP0A03: acpi:PNP0303: acpi:PNP0F13: acpi:ACPI0007: acpi:LNXPWRBN: acpi:QEMU0002: acpi:VMBUS: \
        acpi:80860F14:INT33BB: acpi:PNP0D40: acpi:PNP0C50: acpi:MSFT0101: acpi:AMDI0040: mmc:block mmc:unknown \
        platform:i8042 platform:ahci platform:sdhci platform:sdhci_pltfm platform:xhci-hcd platform:xhci_hcd platform:dwc3 \
        platform:ehci-platform platform:ohci-platform platform:pcspkr platform:nothing-of-the-kind \
        vmbus:d96361baa104294db60572e2ffb1dc7f vmbus:32264132cb86a2449b5c50d1417354f5 vmbus:9eb6cfb3a4b54b4f9e2f6f4d8f9d9a00 \
        xen:vbd xen:vfb xen:vkbd xen:vif xen-backend:vbd input:b0011v0001p0001eAB41-e0,1,4,11,14,k71,72,ram4,l0,1,2,sfw \
        cpu:type:x86,ven0000fam0006mod009E:feature:,0000,0001,0009,0097,0099,00E9 fs-btrfs fs-ext4 fs-erofs fs-squashfs fs-overlay fs-none \
        crypto-sha256 crypto-crc32c crypto-xxhash64 crypto-blake2b-256 sha256 crc32c md-raid1 dm-raid \
        block-major-7-3 block-major-8-0 char-major-10-237 char-major-10-236 devname:loop-control devname:mapper/control \
        devname:btrfs-control nd:t4 nothing : pci: pci:v usb:v hid: []";
    modaliases.extend(others.split_whitespace().map(str::to_owned));
    modaliases
}

/// Modaliases of every alias in the kernel, one `modprobe` process for 500 of them. Not among them are those few that are
/// a module's own name: modprobe takes that module before it looks for aliases, and the plan keeps no names as aliases.
#[test]
fn the_modules_that_modprobe_resolves() {
    let oracle = oracle();
    let indexes = Path::new("lib/modules").join(&oracle.release);
    let indexes = oracle.root.path().join(indexes);
    let mut modaliases = from_index(&indexes.join("modules.alias"));
    modaliases.extend(from_buses());
    let files = fs::read_to_string(indexes.join("modules.dep")).expect("the index of files");
    let named: Names = files
        .lines()
        .filter_map(|line| Path::new(line.split(':').next()?).file_name()?.to_str())
        .filter_map(|file| file.split('.').next().map(fold))
        .collect();
    modaliases.retain(|text| !named.contains(&fold(text)));
    assert!(modaliases.len() > 30_000, "{} made", modaliases.len());

    let plan = Plan::parse(&oracle.plan).expect("a plan");
    let inside: Names = oracle.modules.iter().cloned().collect();
    let check = |modaliases: &[String]| {
        // How many were found to be of no module, of one, of several.
        let (mut counts, mut mismatches) = ([0usize; 3], Vec::new());
        for batch in modaliases.chunks(BATCH) {
            for (modalias, want) in batch.iter().zip(oracle.resolve(batch)) {
                let want: Names = want.intersection(&inside).cloned().collect();
                let found = oracle.lookup(&plan, modalias);
                if found != want {
                    mismatches.push(format!("{modalias}: modprobe {want:?}, plan {found:?}"));
                }
                counts[want.len().min(2)] += 1;
            }
        }
        (counts, mismatches)
    };
    let (first, second) = modaliases.split_at(modaliases.len() / 2);
    let ((counts, mut mismatches), (more, others)) = thread::scope(|scope| {
        let second = scope.spawn(|| check(second));
        (check(first), second.join().expect("no panic"))
    });
    mismatches.extend(others);
    assert!(
        mismatches.is_empty(),
        "{} of {} modaliases differ:\n{}",
        mismatches.len(),
        modaliases.len(),
        mismatches.join("\n")
    );
    let [none, one, several] = [0, 1, 2].map(|place| counts[place] + more[place]);
    println!("modules found: none for {none} modaliases, one for {one}, several for {several}");
    assert!(
        none > 10_000 && one > 8_000 && several > 100,
        "none {none}, one {one}, several {several}"
    );
}

/// What `modprobe` would insert before a module stands before it in the plan, and is among what it needs.
#[test]
fn the_dependencies_that_modprobe_inserts() {
    let oracle = oracle();
    let plan = Plan::parse(&oracle.plan).expect("a plan");
    // Everything that a module needs, by its place; the plan's order makes one pass enough.
    let mut needed: Vec<Names> = Vec::new();
    for module in plan.modules() {
        let mut names = Names::new();
        for (dependency, _) in module.dependencies() {
            names.extend(needed[dependency].iter().cloned());
            names.insert(oracle.modules[dependency].clone());
        }
        needed.push(names);
    }
    let (mut mismatches, mut inserted) = (Vec::new(), 0);
    for (place, name) in oracle.modules.iter().enumerate() {
        let output = oracle
            .modprobe()
            .args(["--show-depends", name])
            .output()
            .expect("modprobe runs");
        assert!(output.status.success(), "modprobe --show-depends {name}");
        let text = String::from_utf8(output.stdout).expect("file names");
        let order: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next())
            .filter_map(|file| Path::new(file).file_stem()?.to_str().map(fold))
            .collect();
        let own = order.iter().position(|other| other == name);
        let own = own.unwrap_or_else(|| panic!("modprobe does not insert {name}: {text}"));
        // What stands behind it are its soft dependencies of the other kind.
        let want: Names = order[..own].iter().cloned().collect();
        inserted += want.len();
        let before: Names = oracle.modules[..place].iter().cloned().collect();
        if !want.is_subset(&needed[place]) || !want.is_subset(&before) {
            mismatches.push(format!(
                "{name}: modprobe {want:?}, plan {:?}",
                needed[place]
            ));
        }
    }
    assert!(
        mismatches.is_empty(),
        "{} of {} modules differ:\n{}",
        mismatches.len(),
        oracle.modules.len(),
        mismatches.join("\n")
    );
    assert!(inserted > oracle.modules.len(), "{inserted} dependencies");
}
