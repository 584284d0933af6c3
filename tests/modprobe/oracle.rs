//! The real `modprobe` with Debian's generic kernel, and beside it the plan of Flatcar's profile for the same kernel.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use builder::{kernel::catalogue::Catalogue, plan, profile::Profile, select};
use toehold::format::plan::{Key, Plan};
use xtask::lab::{
    kernels::{self, Series},
    paths, tools,
};

/// Module names, `-` and `_` being one.
pub type Names = BTreeSet<String>;

pub fn fold(name: &str) -> String {
    name.replace('-', "_")
}

/// The real modprobe over a directory of its own, whatever this machine has configured.
pub struct Modprobe {
    /// Holds `lib/modules/RELEASE`, and `modprobe.d`.
    root: tempfile::TempDir,
    release: String,
}

impl Modprobe {
    /// With these lines of configuration, and with no module yet.
    pub fn new(release: &str, configuration: &str) -> Self {
        tools::require(&[tools::DEPMOD, tools::MODPROBE]).expect("kmod");
        let modprobe = Self {
            root: tempfile::tempdir().expect("a directory"),
            release: release.to_owned(),
        };
        fs::create_dir_all(modprobe.indexes()).expect("a directory");
        let folder = modprobe.root.path().join("modprobe.d");
        fs::create_dir(&folder).expect("a directory");
        // A name that is printed between the answers to two modaliases.
        let configuration = format!("alias boundary boundary\n{configuration}");
        fs::write(folder.join("all.conf"), configuration).expect("a configuration");
        modprobe
    }

    /// Where the modules and their indexes lie.
    pub fn indexes(&self) -> PathBuf {
        let inside = Path::new("lib/modules").join(&self.release);
        self.root.path().join(inside)
    }

    /// Indexes the modules with the real depmod.
    fn index(&self) {
        let mut depmod = tools::DEPMOD.command().expect("depmod");
        tools::run(depmod.arg("-b").arg(self.root.path()).arg(&self.release)).expect("indexes");
    }

    fn command(&self) -> Command {
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

    /// What modprobe would load for each of `modaliases`, dependencies aside. One process answers all of them.
    pub fn resolve(&self, modaliases: &[String]) -> Vec<Names> {
        let output = self
            .command()
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

    /// The names of the modules that modprobe would insert for the module `name`, in its order.
    pub fn insertions(&self, name: &str) -> Vec<String> {
        let output = self.command().args(["--show-depends", name]).output();
        let output = output.expect("modprobe runs");
        assert!(output.status.success(), "modprobe --show-depends {name}");
        let text = String::from_utf8(output.stdout).expect("file names");
        text.lines()
            .filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next())
            .filter_map(|file| Path::new(file).file_stem()?.to_str().map(fold))
            .collect()
    }
}

/// Debian's generic kernel, indexed by the real `depmod`, and the plan of Flatcar's profile for it.
pub struct Oracle {
    pub modprobe: Modprobe,
    pub plan: Vec<u8>,
    /// The plan's modules in loading order.
    pub modules: Vec<String>,
}

/// All tests ask the same one: reading four thousand modules takes seconds.
pub fn oracle() -> &'static Oracle {
    static ORACLE: OnceLock<Oracle> = OnceLock::new();
    ORACLE.get_or_init(Oracle::new)
}

impl Oracle {
    fn new() -> Self {
        let kernel = kernels::fetch(Series::Generic61).expect("a kernel");
        let modprobe = Modprobe::new(&kernel.release, "");
        for entry in fs::read_dir(&kernel.modules_dir).expect("the kernel's modules") {
            let entry = entry.expect("an entry");
            symlink(entry.path(), modprobe.indexes().join(entry.file_name())).expect("a link");
        }
        modprobe.index();

        let profile = paths::root().join("xtask/profiles/flatcar.toml");
        let profile = Profile::read(&profile).expect("the profile");
        let catalogue = Catalogue::read(&kernel.modules_dir).expect("the kernel's modules");
        let selection = select::resolve(&catalogue, &profile.modules).expect("a selection");
        let mut settings = profile.settings(&kernel.release);
        settings.push((Key::Suffix, b".ko".to_vec()));
        let plan = plan::encode(&selection.modules, &[], &settings).expect("a plan");
        let modules = Plan::parse(&plan)
            .expect("a plan")
            .modules()
            .map(|module| fold(std::str::from_utf8(module.name).expect("a name")))
            .collect();
        Self {
            modprobe,
            plan,
            modules,
        }
    }

    /// What the plan has for `text`, a modalias or a name.
    pub fn resolve(&self, plan: &Plan, text: &str) -> Names {
        let mut found = Names::new();
        plan.resolve(text.as_bytes(), &mut |number| {
            found.insert(self.modules[number].clone());
        });
        found
    }
}
