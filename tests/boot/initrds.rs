//! The initrds of the tests: made from a ready profile with what a test changes in it, each once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use xtask::commands::build;
use xtask::initrd::compress::Compression;
use xtask::initrd::{Contents, Request, cpio};
use xtask::kernels::{self, Series};
use xtask::{cache, paths};

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
    /// A module's options.
    pub options: Option<(&'static str, &'static str)>,
    pub prompt_seconds: u32,
    /// The kernel whose modules it gets; absent for the one that is booted.
    pub built_for: Option<Series>,
    /// The kernel has the modules of [`misbehaving`], too.
    pub misbehaving: bool,
    /// The module whose file is left out of the archive although the plan has it.
    pub without: &'static str,
    /// Length of an incompressible file that the initrd gets in addition.
    pub ballast: usize,
}

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
        options: None,
        prompt_seconds: 1,
        built_for: None,
        misbehaving: false,
        without: "",
        ballast: 0,
    };

    /// Makes the initrd for a kernel, or finds the one that an earlier test of this run has made.
    pub fn build(&self, kernel: Series) -> Initrd {
        static BUILT: Mutex<Option<HashMap<String, Initrd>>> = Mutex::new(None);
        let series = self.built_for.unwrap_or(kernel);
        let profile = self.profile();
        let key = cache::key(&[
            series.name().as_bytes(),
            profile.as_bytes(),
            self.without.as_bytes(),
            &self.ballast.to_le_bytes(),
        ]);
        let mut built = BUILT
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let built = built.get_or_insert_default();
        let found = built.entry(key.clone());
        found
            .or_insert_with(|| self.make(series, &profile, &key))
            .clone()
    }

    fn make(&self, series: Series, profile: &str, key: &str) -> Initrd {
        let folder = paths::output().join("tests");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{key}.img"));
        let profile_path = path.with_extension("toml");
        fs::write(&profile_path, profile).expect("a profile");
        let modules_dir = match self.misbehaving {
            true => misbehaving::modules_dir(series).expect("modules"),
            false => kernels::fetch(series).expect("a kernel").modules_dir,
        };
        let init = build::init("x86_64", &[]).expect("the init");
        let mut request = Request::new(&modules_dir, profile_path, init);
        // Since Linux 6.5 a module that crashes leaves a trap for later ones in a table of finit_module's: the init can go round
        // it with plain modules only.
        request.module_compress = self.misbehaving.then_some(Compression::None);
        if self.ballast > 0 {
            let ballast = path.with_extension("ballast");
            fs::write(&ballast, noise(self.ballast)).expect("ballast");
            request.extra.push(("/ballast".to_owned(), ballast));
        }
        let mut contents = Contents::gather(&request).expect("an initrd");
        if !self.without.is_empty() {
            let before = contents.entries.len();
            let file = format!("{}.ko", self.without);
            contents.entries.retain(|(entry, _)| {
                let name = Path::new(entry.path.as_str()).file_name();
                name.is_none_or(|name| !name.to_string_lossy().starts_with(&file))
            });
            assert_eq!(contents.entries.len(), before - 1, "{file} is not in it");
        }
        let archive = cpio::pack(contents.entries.iter().map(|(entry, _)| entry)).expect("cpio");
        let bytes = archive.len();
        let packed = Compression::Zstd.pack(archive).expect("zstd");
        fs::write(&path, packed).expect("an initrd");
        Initrd { path, bytes }
    }

    /// The profile's text with what is changed in it.
    fn profile(&self) -> String {
        let path = paths::root().join("xtask/profiles").join(self.profile);
        let text = fs::read_to_string(&path).expect("a profile");
        let mut profile: toml::Table = text.parse().expect("a profile");
        let modules = profile["modules"].as_table_mut().expect("modules");
        for (key, more) in [("names", self.names), ("always", self.always)] {
            let list = modules[key].as_array_mut().expect("a list");
            list.extend(more.iter().map(|name| toml::Value::from(*name)));
        }
        if let Some((name, options)) = self.options {
            let options = toml::Table::from_iter([(name.to_owned(), options.into())]);
            modules.insert("options".to_owned(), options.into());
        }
        let emergency = profile["emergency"].as_table_mut().expect("emergency");
        emergency.insert(
            "prompt_seconds".to_owned(),
            i64::from(self.prompt_seconds).into(),
        );
        profile.to_string()
    }
}

/// Bytes that no compression makes shorter: a xorshift sequence.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
