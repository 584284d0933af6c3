//! A kernel's build configuration: which module files it takes, and whom it asks for modules.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::archive::compress::{self, Compression};

/// The options that are set in a kernel's configuration.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    options: HashMap<String, String>,
}

impl Config {
    /// Reads a configuration, as text or compressed as `/proc/config.gz` is.
    pub fn read(file: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let text = String::from_utf8(compress::unpack(fs::read(file)?)?)?;
            let config = Self {
                file: file.to_owned(),
                options: text
                    .lines()
                    .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
                    .map(|(option, value)| (option.to_owned(), value.trim_matches('"').to_owned()))
                    .collect(),
            };
            ensure!(
                config.is_set("MODULES"),
                "it does not have CONFIG_MODULES=y, as the configuration of a kernel with modules has"
            );
            Ok(config)
        };
        read().with_context(|| format!("cannot read kernel configuration {}", file.display()))
    }

    /// Looks where packages put it: in the modules directory (`…/lib/modules/<release>`), or in `boot` beside `lib` or `usr`.
    pub fn find(modules_dir: &Path) -> Result<Option<Self>> {
        Self::places(modules_dir)
            .iter()
            .find(|place| place.is_file())
            .map(|place| Self::read(place))
            .transpose()
    }

    /// Where [`Config::find`] looks.
    pub fn places(modules_dir: &Path) -> Vec<PathBuf> {
        let directory = modules_dir
            .canonicalize()
            .unwrap_or_else(|_| modules_dir.to_owned());
        let mut places = vec![directory.join("config"), directory.join("build/.config")];
        let mut above = directory.ancestors();
        if let (Some(release), Some(root)) = (directory.file_name(), above.nth(3)) {
            let name = format!("config-{}", release.display());
            places.push(root.join("boot").join(&name));
            if root.ends_with("usr") {
                places.extend(above.next().map(|root| root.join("boot").join(&name)));
            }
        }
        places
    }

    /// Whether an option is built in.
    pub fn is_set(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }

    /// The one compression of modules that the kernel undoes, if any. (Source: kernel/module/Kconfig: MODULE_DECOMPRESS goes
    /// with the one MODULE_COMPRESS_… that was chosen; `/sys/module/compression` names it in a running kernel.)
    pub fn decompresses(&self) -> Option<Compression> {
        if !self.is_set("MODULE_DECOMPRESS") {
            return None;
        }
        [Compression::Gzip, Compression::Xz, Compression::Zstd]
            .into_iter()
            .find(|compression| {
                let name = compression.to_string().to_uppercase();
                self.is_set(&format!("MODULE_COMPRESS_{name}"))
            })
    }

    /// Whether the kernel loads only modules with a signature, whatever its command line says.
    pub fn enforces_signatures(&self) -> bool {
        self.is_set("MODULE_SIG_FORCE")
    }

    /// Whether the kernel loads only modules whose signature is an extended attribute of the file, which no file of an initramfs has.
    /// (Source: security/integrity/ima/ima_policy.c: this rule takes no appended signature, and stays when another policy is loaded.)
    pub fn appraises_modules(&self) -> bool {
        self.is_set("IMA_APPRAISE_REQUIRE_MODULE_SIGS")
    }

    /// The program that the kernel runs when it misses a module: an absolute path, empty for none.
    pub fn modprobe(&self) -> Option<&str> {
        self.options.get("MODPROBE_PATH").map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::{Compression, Config};
    use std::fs;

    #[test]
    fn options() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("config");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            Config::read(&file)
        };
        let xz = "CONFIG_MODULES=y\n# CONFIG_MODULE_SIG_FORCE is not set\nCONFIG_MODULE_COMPRESS=y\n\
            # CONFIG_MODULE_COMPRESS_GZIP is not set\nCONFIG_MODULE_COMPRESS_XZ=y\nCONFIG_MODULE_DECOMPRESS=y\n\
            CONFIG_MODPROBE_PATH=\"/usr/bin/modprobe\"\n";
        let config = read(xz).unwrap();
        assert_eq!(config.decompresses(), Some(Compression::Xz));
        assert!(!config.enforces_signatures());
        assert_eq!(config.modprobe(), Some("/usr/bin/modprobe"));

        let packed_only = xz.replace("CONFIG_MODULE_DECOMPRESS=y\n", "");
        assert_eq!(read(&packed_only).unwrap().decompresses(), None);
        let zstd = xz.replace("COMPRESS_XZ", "COMPRESS_ZSTD").replace(
            "# CONFIG_MODULE_SIG_FORCE is not set",
            "CONFIG_MODULE_SIG_FORCE=y",
        );
        let config = read(&zstd).unwrap();
        assert_eq!(config.decompresses(), Some(Compression::Zstd));
        assert!(config.enforces_signatures());

        let packed = Compression::Gzip.pack(xz.as_bytes().to_vec()).unwrap();
        fs::write(&file, packed).unwrap();
        assert_eq!(
            Config::read(&file).unwrap().decompresses(),
            Some(Compression::Xz)
        );
        let error = format!("{:#}", read("hello\n").unwrap_err());
        assert!(error.contains("CONFIG_MODULES=y"), "{error}");
    }

    #[test]
    fn is_found_where_packages_put_it() {
        let room = tempfile::tempdir().unwrap();
        for (modules, place) in [
            ("a/lib/modules/1.2", "a/lib/modules/1.2/config"),
            ("b/lib/modules/1.2", "b/lib/modules/1.2/build/.config"),
            ("c/lib/modules/1.2", "c/boot/config-1.2"),
            ("d/usr/lib/modules/1.2", "d/boot/config-1.2"),
            ("e/usr/lib/modules/1.2", "e/usr/boot/config-1.2"),
        ] {
            let modules = room.path().join(modules);
            fs::create_dir_all(&modules).unwrap();
            assert!(Config::find(&modules).unwrap().is_none());
            let place = room.path().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, "CONFIG_MODULES=y\n").unwrap();
            let found = Config::find(&modules).unwrap().unwrap();
            assert_eq!(found.file, place.canonicalize().unwrap());
        }
    }
}
