//! The initrds of the tests: made from a ready profile with what a test changes in it, each once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use builder::archive::compress::Compression;
use builder::archive::cpio::Entry;
use builder::archive::stream::Method;
use builder::profile::Pack;
use builder::{
    archive::cpio,
    initrd::{Contents, PLAN_NAME, Request},
};
use toehold::format::{pack::group, plan::Plan};
use toehold_samples::noise::noise;
use xtask::lab::build;
use xtask::lab::kernels::{self, Series};
use xtask::lab::{cache, packs, paths, spent, tools};

use crate::misbehaving;

/// What an initrd is made from.
#[derive(Clone)]
pub struct Wanted {
    /// File name in xtask/profiles.
    pub profile: &'static str,
    /// Modules that the profile gets in addition.
    pub names: &'static [&'static str],
    /// Modules that are loaded in addition, whatever the hardware.
    pub always: &'static [&'static str],
    /// Settings in TOML, each put in the place of the profile's own.
    pub settings: &'static str,
    pub prompt_seconds: u32,
    /// The kernel whose modules it gets; absent for the one that is booted.
    pub built_for: Option<Series>,
    /// Those of [`misbehaving`] that the kernel has, too.
    pub misbehaving: &'static [&'static str],
    /// The file that is left out of the archive although it belongs there, by the start of its name.
    pub without: &'static str,
    /// A module whose group in the module pack is damaged, as the kernel has its name.
    pub damaged: &'static str,
    /// Length of an incompressible file that the initrd gets in addition.
    pub ballast: usize,
    /// Its init has no way to the trace.
    pub untraceable: bool,
}

/// Files by their paths in the initrd; all of them may be executed.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// An initrd of the tests.
#[derive(Clone)]
pub struct Initrd {
    pub path: PathBuf,
    /// Length of the archive before compression.
    pub bytes: usize,
}

impl Wanted {
    /// The demo's, but for a shorter time between a failure and the reboot.
    pub const DEMO: Self = Self {
        profile: "qemu.toml",
        names: &[],
        always: &[],
        settings: "",
        prompt_seconds: 1,
        built_for: None,
        misbehaving: &[],
        without: "",
        damaged: "",
        ballast: 0,
        untraceable: false,
    };

    /// The same with time for a person.
    pub const PATIENT: Self = Self {
        prompt_seconds: 100,
        ..Self::DEMO
    };

    /// Makes the initrd for a kernel, with `files` in it, or finds the one that an earlier test of this run has made.
    pub fn build(&self, kernel: Series, files: &Files) -> Initrd {
        let series = self.built_for.unwrap_or(kernel);
        let profile = self.profile();
        let (ballast, misbehaving) = (self.ballast.to_le_bytes(), self.misbehaving.join(" "));
        let untraceable = [u8::from(self.untraceable)];
        let init = build::init(series.arch()).expect("the init");
        let code = fs::read(&init).expect("the init");
        let builder = own_stamp();
        let mut parts = vec![
            series.name().as_bytes(),
            profile.as_bytes(),
            misbehaving.as_bytes(),
            self.without.as_bytes(),
            self.damaged.as_bytes(),
            &ballast,
            &untraceable,
            &code,
            builder.as_bytes(),
        ];
        for (path, bytes) in files {
            parts.extend([path.as_bytes(), bytes]);
        }
        let key = cache::key(&parts);
        let folder = paths::output().join("tests").join(key);
        let folder = cache::folder(&folder, |folder| {
            let _span = spent::on("initrds");
            let bytes = self.make(series, &profile, files, init, &folder.join("initrd.img"));
            Ok(fs::write(folder.join("bytes"), bytes.to_string())?)
        });
        let folder = folder.expect("an initrd");
        let bytes = fs::read_to_string(folder.join("bytes")).expect("a length");
        Initrd {
            path: folder.join("initrd.img"),
            bytes: bytes.parse().expect("a length"),
        }
    }

    /// Makes the initrd at `path`, beside what it is made from. Returns its length before compression.
    fn make(
        &self,
        series: Series,
        profile: &str,
        files: &Files,
        mut init: PathBuf,
        path: &Path,
    ) -> usize {
        let profile_path = path.with_extension("toml");
        fs::write(&profile_path, profile).expect("a profile");
        let modules_dir = match self.misbehaving {
            [] => kernels::fetch(series).expect("a kernel").modules_dir,
            names => misbehaving::modules_dir(series, names).expect("modules"),
        };
        if self.untraceable {
            let code = fs::read(&init).expect("the init");
            init = path.with_extension("init");
            fs::write(&init, untraceable(code)).expect("an init");
        }
        let mut request = Request {
            arch: series.arch(),
            ..Request::new(&modules_dir, profile_path, init)
        };
        // Since Linux 6.5 a module that crashes leaves a trap for later ones in a table of finit_module's: the init can go round
        // it with plain modules only.
        request.module_compress = (!self.misbehaving.is_empty()).then_some(Compression::None);
        if self.ballast > 0 {
            let ballast = path.with_extension("ballast");
            fs::write(&ballast, noise(1, self.ballast)).expect("ballast");
            request.extra.push(("/ballast".to_owned(), ballast));
        }
        for (number, (inside, bytes)) in files.iter().enumerate() {
            let file = path.with_extension(number.to_string());
            fs::write(&file, bytes).expect("a file");
            fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a program");
            request.extra.push(((*inside).to_owned(), file));
        }
        if !self.without.is_empty() {
            request.module_pack = Some(Pack::None);
        }
        let mut contents = Contents::gather_kept(&request, &packs::keep).expect("an initrd");
        if !self.without.is_empty() {
            let before = contents.entries.len();
            contents.entries.retain(|(entry, _)| {
                let name = Path::new(entry.path.as_str()).file_name();
                name.is_none_or(|name| !name.to_string_lossy().starts_with(self.without))
            });
            let left = contents.entries.len();
            assert_eq!(left, before - 1, "{} is not in it", self.without);
        }
        if !self.damaged.is_empty() {
            damage(&mut contents, self.damaged);
        }
        // The best compression takes seconds, and there are many of them.
        let built = contents.pack(|archive| Ok(zstd::encode_all(archive.as_slice(), 1)?));
        let built = built.expect("an initrd");
        fs::write(path, built.archive).expect("an initrd");
        built.manifest.totals.archive_bytes
    }

    /// The profile's text with what is changed in it.
    fn profile(&self) -> String {
        let path = paths::root().join("xtask/profiles").join(self.profile);
        let text = fs::read_to_string(&path).expect("a profile");
        let mut profile: toml::Table = text.parse().expect("a profile");
        let modules = profile["modules"].as_table_mut().expect("modules");
        for (key, more) in [("names", self.names), ("always", self.always)] {
            let list = modules
                .entry(key)
                .or_insert_with(|| Vec::<String>::new().into());
            let list = list.as_array_mut().expect("a list");
            list.extend(more.iter().map(|name| toml::Value::from(*name)));
        }
        let emergency = profile["emergency"].as_table_mut().expect("emergency");
        emergency.insert(
            "prompt_seconds".to_owned(),
            i64::from(self.prompt_seconds).into(),
        );
        merge(&mut profile, self.settings.parse().expect("settings"));
        profile.to_string()
    }
}

impl Initrd {
    /// Makes it one with a second archive behind it, as boot loaders and administrators do; it will lie at `path`. The second one is packed as
    /// the builder packs nothing, and only reads it: by lzop.
    pub fn append(&mut self, files: Files, path: &Path) {
        let mut entries: Vec<Entry> = Vec::new();
        for (inside, bytes) in files {
            let name = inside.trim_start_matches('/');
            for (end, _) in name.match_indices('/') {
                if !entries.iter().any(|entry| entry.path == name[..end]) {
                    entries.push(Entry::directory(&name[..end]));
                }
            }
            entries.push(Entry::file(name, 0o600, bytes));
        }
        let mut both = fs::read(&self.path).expect("an initrd");
        assert!(both.len().is_multiple_of(4), "nothing can be put behind it");
        let archive = cpio::pack(&entries).expect("cpio");
        self.bytes += archive.len();
        fs::write(path, &archive).expect("an archive");
        let mut lzop = tools::LZOP.command().expect("lzop");
        let packed = tools::run(lzop.arg("--stdout").arg(path)).expect("lzop");
        let (unpacked, _) = Method::Lzo.unpack(&packed.stdout).expect("lzo");
        assert!(unpacked == archive, "the builder reads something else");
        both.extend(packed.stdout);
        fs::write(path, both).expect("an initrd");
        self.path = path.to_owned();
    }
}

/// Changes a byte in the middle of the group that a module is in.
fn damage(contents: &mut Contents, name: &str) {
    let mut entries = contents.entries.iter();
    let plan = entries.find(|(entry, _)| entry.path == PLAN_NAME);
    let plan = Plan::parse(&plan.expect("a plan").0.data).expect("a plan");
    let module = plan.modules().find(|module| module.name == name.as_bytes());
    let module = module.expect("a module of the initrd");
    let number = plan.groups_of_pack().position(|place| module.is_in(place));
    let pack = &mut contents.pack.as_mut().expect("a pack").data;
    let group = group(pack, number.expect("a group")).expect("a group");
    let middle = group.packed.len() / 2;
    let start = group.packed.as_ptr().addr() - pack.as_ptr().addr();
    pack[start + middle] ^= 1;
}

/// Changes whenever the builder does, which is part of this program.
fn own_stamp() -> String {
    let program = std::env::current_exe().expect("a program");
    let found = fs::metadata(&program).expect("a program");
    let changed = found.modified().expect("a time");
    format!("{} {changed:?} {}", program.display(), found.len())
}

/// Puts settings in the place of those of the same name, and beside the others.
fn merge(into: &mut toml::Table, settings: toml::Table) {
    for (key, value) in settings {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(settings)) => merge(into, settings),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// The init for x86_64 without the two instructions before its one `syscall` that ask for the trace.
fn untraceable(mut init: Vec<u8>) -> Vec<u8> {
    // cmp byte ptr [TRACE], 0; je traced_gate; syscall; ret
    const SYSCALL: [u8; 3] = [0x0F, 0x05, 0xC3];
    const COMPARE: usize = 7;
    const BRANCH: usize = 6;
    let mut places = init.windows(3).enumerate();
    let found = places.find(|(_, bytes)| **bytes == SYSCALL);
    let start = found.expect("a gate").0 - COMPARE - BRANCH;
    let gate = &mut init[start..];
    assert_eq!((gate[0], &gate[COMPARE..][..2]), (0x80, &[0x0F, 0x84][..]));
    gate[..3].copy_from_slice(&SYSCALL);
    init
}
