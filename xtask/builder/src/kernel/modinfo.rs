//! What a kernel module says about itself: the `.modinfo` section, plain or compressed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use object::{Object, ObjectSection, ReadCache, ReadRef};

use super::catalogue::folded;
use crate::archive::compress::Compression;

/// The tags of one module that matter for loading it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Modinfo {
    /// Names of modules whose symbols it uses.
    pub depends: Vec<String>,
    /// Names or aliases of modules to load before it if they exist. (Those to load after it do not concern a first stage.)
    pub soft: Vec<String>,
    /// Names or aliases of modules that it may ask for: to be at hand, but not to be loaded before it.
    pub weak: Vec<String>,
    /// Shell patterns over modaliases, and other names for it.
    pub aliases: Vec<String>,
    /// Paths below /lib/firmware.
    pub firmware: Vec<String>,
}

/// The file name without `.ko` and compression suffix, if it is a module's.
pub fn stem(file_name: &str) -> Option<&str> {
    Compression::value_variants()
        .iter()
        .find_map(|compression| file_name.strip_suffix(compression.module_suffix()))
}

/// Reads a module file, decompressing it if its name says so.
pub fn load(path: &Path) -> Result<Vec<u8>> {
    let read = || match Compression::of_module(path) {
        Compression::None => fs::read(path),
        compression => compression.unpack(&fs::read(path)?),
    };
    read().with_context(|| format!("cannot read module {}", path.display()))
}

impl Modinfo {
    /// Reads the tags of a module file; of a plain one only the pages that it needs.
    pub fn read(path: &Path) -> Result<Self> {
        let parsed = if path.extension().is_some_and(|extension| extension == "ko") {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            Self::of_elf(&ReadCache::new(file))
        } else {
            Self::of_elf(load(path)?.as_slice())
        };
        parsed.with_context(|| format!("{}: not a kernel module", path.display()))
    }

    fn of_elf<'data>(elf: impl ReadRef<'data>) -> Result<Self> {
        let file = object::File::parse(elf)?;
        let section = file
            .section_by_name(".modinfo")
            .context("it has no .modinfo section")?;
        Ok(Self::of_tags(section.data()?))
    }

    /// Parses `key=value` strings that end in NUL.
    fn of_tags(tags: &[u8]) -> Self {
        let mut info = Self::default();
        for tag in tags.split(|byte| *byte == 0) {
            let tag = String::from_utf8_lossy(tag);
            if let Some((key, value)) = tag.split_once('=') {
                info.add(key, value);
            }
        }
        info
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            "depends" => self.depends.extend(
                value
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
            ),
            "softdep" => self.soft.extend(before(value).map(str::to_owned)),
            "weakdep" => self
                .weak
                .extend(value.split_whitespace().map(str::to_owned)),
            "alias" => self.aliases.push(value.to_owned()),
            "firmware" => self.firmware.push(value.to_owned()),
            _ => {}
        }
    }
}

/// The words behind `pre:` in a softdep tag; words before any marker mean nothing, as for kmod.
fn before(softdep: &str) -> impl Iterator<Item = &str> {
    let mut pre = false;
    softdep.split_whitespace().filter(move |word| match *word {
        "pre:" => {
            pre = true;
            false
        }
        "post:" => {
            pre = false;
            false
        }
        _ => pre,
    })
}

/// The tags of what is built into the kernel, by name (`modules.builtin.modinfo`: `name.key=value`).
pub fn builtins(tags: &[u8]) -> BTreeMap<String, Modinfo> {
    let mut builtins: BTreeMap<String, Modinfo> = BTreeMap::new();
    for tag in tags.split(|byte| *byte == 0) {
        let tag = String::from_utf8_lossy(tag);
        if let Some((name, tag)) = tag.split_once('.')
            && let Some((key, value)) = tag.split_once('=')
        {
            builtins.entry(folded(name)).or_default().add(key, value);
        }
    }
    builtins
}

#[cfg(test)]
mod tests {
    use super::{Modinfo, builtins, stem};

    #[test]
    fn tags() {
        let info = Modinfo::of_tags(
            b"license=GPL\0weakdep=v w\0softdep=pre: a b post: c pre: d\0softdep=e\0depends=x,y\0alias=fs-z\0alias=pci:v*=\0\
              firmware=a/b.bin\0broken\0",
        );
        assert_eq!(info.soft, ["a", "b", "d"]);
        assert_eq!(info.weak, ["v", "w"]);
        assert_eq!(info.depends, ["x", "y"]);
        assert_eq!(info.aliases, ["fs-z", "pci:v*="]);
        assert_eq!(info.firmware, ["a/b.bin"]);
        assert_eq!(Modinfo::of_tags(b"depends=\0"), Modinfo::default());
    }

    #[test]
    fn built_ins() {
        let tags =
            b"ext4.alias=fs-ext4\0ext4.license=GPL\0a-b.parm=x:alias=1\0a_b.softdep=pre: c\0odd\0";
        let builtins = builtins(tags);
        let names: Vec<&str> = builtins.keys().map(String::as_str).collect();
        assert_eq!(names, ["a_b", "ext4"]);
        assert_eq!(builtins["ext4"].aliases, ["fs-ext4"]);
        assert_eq!(builtins["a_b"].soft, ["c"]);
        assert!(builtins["a_b"].aliases.is_empty());
    }

    #[test]
    fn stems() {
        assert_eq!(stem("dm-mod.ko"), Some("dm-mod"));
        assert_eq!(stem("dm-mod.ko.zst"), Some("dm-mod"));
        assert_eq!(stem("modules.dep"), None);
    }
}
