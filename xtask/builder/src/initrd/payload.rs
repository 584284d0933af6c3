//! A module's file as the initrd gets it: stripped where no signature is lost, and compressed as the kernel can undo it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    archive::{compress::Compression, cpio::Entry},
    initrd::{
        manifest::{Item, Kind},
        strip::{self, is_signed},
        tree::module,
    },
    kernel::config::Config,
    pack::{self, Keep},
    profile::{Modules, Pack, Strip},
    progress,
    select::Chosen,
};
use toehold::shared::{PACK, inside};

/// How module files go into one initrd.
#[derive(Debug)]
pub struct Packing {
    /// One for all modules, because the init knows one suffix.
    pub compression: Compression,
    /// They go into the module pack.
    pub in_groups: bool,
    strip: Strip,
}

impl Packing {
    /// Decides for a kernel. `wanted` is what was asked for on the command line; without it modules go into the module pack, or stay as the kernel's package
    /// has most of them if the kernel is known to decompress that, else they go in decompressed, which any kernel loads.
    pub fn decide(
        wanted: Option<Compression>,
        rules: &Modules,
        config: Option<&Config>,
        modules_dir: &Path,
        modules: &[Chosen],
    ) -> Result<Self> {
        let able = config.and_then(Config::decompresses);
        ensure!(
            rules.pack != Pack::Always || wanted.is_none(),
            "the module pack compresses all modules, --module-compress each: leave one of them out"
        );
        let in_groups = match rules.pack {
            Pack::Auto => wanted.is_none(),
            Pack::Always => true,
            Pack::None => false,
        };
        let strip = rules.strip;
        let compression = match wanted {
            _ if in_groups => Compression::None,
            Some(wanted) => {
                check(wanted, config, modules_dir)?;
                wanted
            }
            None => able
                .filter(|able| {
                    let packed =
                        |chosen: &&Chosen| Compression::of_module(&chosen.module.path) == *able;
                    modules.iter().filter(packed).count() * 2 > modules.len()
                })
                .unwrap_or(Compression::None),
        };
        if let Some(config) = config.filter(|config| config.enforces_signatures()) {
            ensure!(
                strip != Strip::Always,
                "modules.strip = \"always\" takes the signatures off the modules, and this kernel loads only signed ones \
                 (CONFIG_MODULE_SIG_FORCE=y in {}): use \"auto\"",
                config.file.display()
            );
        }
        Ok(Self {
            compression,
            in_groups,
            strip,
        })
    }

    /// Reads a module's file and makes it what the initrd gets. A file that needs no change, and that the
    /// kernel decompresses if it is compressed, goes in byte for byte. (A signature
    /// stands at the end of the uncompressed file, so it is looked for there, and survives compression.) Tells too whether
    /// the module is signed.
    pub fn pack(&self, file: &Path) -> Result<(Vec<u8>, bool)> {
        let pack = || -> Result<(Vec<u8>, bool)> {
            let packed = fs::read(file)?;
            let compression = Compression::of_module(file);
            let plain = compression.unpack(&packed)?;
            let signed = is_signed(&plain);
            let packed = match strip::apply(&plain, self.strip)? {
                None if compression == self.compression && compression.suits_modules(&packed) => {
                    packed
                }
                stripped => self.compression.pack_module(stripped.unwrap_or(plain))?,
            };
            Ok((packed, signed))
        };
        pack().with_context(|| format!("module {}", file.display()))
    }
}

/// Packs modules, each of a group, given in the plan's order: the module pack, and a line for it and for each of them.
pub fn pack(modules: &[(&Chosen, Vec<u8>)], keep: Keep) -> Result<(Option<Entry>, Vec<Item>)> {
    let mut groups: BTreeMap<usize, Vec<&(&Chosen, Vec<u8>)>> = BTreeMap::new();
    for module in modules {
        let group = module.0.group.unwrap_or_default();
        groups.entry(group).or_default().push(module);
    }
    if groups.is_empty() {
        return Ok((None, Vec::new()));
    }
    let files: Vec<Vec<&[u8]>> = groups
        .values()
        .map(|group| group.iter().map(|(_, data)| data.as_slice()).collect())
        .collect();
    let bytes: usize = files.iter().flatten().map(|file| file.len()).sum();
    let step = progress::step(format!("packing {bytes} bytes of modules"));
    let packed = pack::encode(&files, pack::SHIPPED, keep)?;
    step.done();
    let entry = Entry::file(inside(PACK), 0o644, pack::write(&packed)?);
    let mut items = vec![Item {
        path: entry.path.clone(),
        kind: Kind::Pack,
        bytes: entry.data.len(),
        source: None,
        why: "modules in groups, unpacked by the init".to_owned(),
        needed_by: Vec::new(),
        group: None,
        packed_bytes: None,
        aliases: Vec::new(),
    }];
    for (group, packed) in groups.values().zip(&packed) {
        for ((chosen, data), share) in group.iter().zip(&packed.shares) {
            items.push(Item {
                packed_bytes: Some(*share),
                ..module(chosen, data.len(), Compression::None.module_suffix())
            });
        }
    }
    Ok((Some(entry), items))
}

/// Refuses what the kernel cannot load, or may not be able to.
fn check(wanted: Compression, config: Option<&Config>, modules_dir: &Path) -> Result<()> {
    if wanted == Compression::None {
        return Ok(());
    }
    let Some(config) = config else {
        let places: Vec<String> = Config::places(modules_dir)
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        bail!(
            "--module-compress {wanted}: whether this kernel decompresses modules is not known, because its configuration is at \
             none of {}: name the file with --kernel-config, or use --module-compress none",
            places.join(", ")
        );
    };
    match config.decompresses() {
        Some(able) if able == wanted => Ok(()),
        Some(able) => bail!(
            "--module-compress {wanted}: this kernel decompresses only {able} modules ({}): use --module-compress {able}",
            config.file.display()
        ),
        None => bail!(
            "--module-compress {wanted}: this kernel cannot decompress modules (CONFIG_MODULE_DECOMPRESS is not set in {}): \
             use --module-compress none",
            config.file.display()
        ),
    }
}

/// Refuses modules without a signature for a kernel that loads only signed ones.
pub fn check_signatures(unsigned: &[&str], config: Option<&Config>) -> Result<()> {
    match config.filter(|config| config.enforces_signatures()) {
        Some(config) if !unsigned.is_empty() => bail!(
            "{} of the modules have no signature, and this kernel loads only signed ones (CONFIG_MODULE_SIG_FORCE=y in {}): {}; \
             sign them with the kernel's scripts/sign-file, or leave them out with modules.exclude",
            unsigned.len(),
            config.file.display(),
            unsigned.join(", ")
        ),
        _ => Ok(()),
    }
}
