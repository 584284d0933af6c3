//! A module's file as the initrd gets it: stripped where no signature is lost, and compressed as the kernel can undo it.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    archive::compress::Compression,
    initrd::strip::{self, is_signed},
    kernel::config::Config,
    profile::Strip,
    select::Chosen,
};

/// How module files go into one initrd.
#[derive(Debug)]
pub struct Packing {
    /// One for all modules, because the init knows one suffix.
    pub compression: Compression,
    strip: Strip,
}

impl Packing {
    /// Decides for a kernel. `wanted` is what was asked for on the command line; without it modules stay as the kernel's package
    /// has most of them if the kernel is known to decompress that, else they go in decompressed, which any kernel loads.
    pub fn decide(
        wanted: Option<Compression>,
        strip: Strip,
        config: Option<&Config>,
        modules_dir: &Path,
        modules: &[Chosen],
    ) -> Result<Self> {
        let able = config.and_then(Config::decompresses);
        let compression = match wanted {
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
        Ok(Self { compression, strip })
    }

    /// Reads a module's file and makes it what the initrd gets. A file that needs no change goes in byte for byte. (A signature
    /// stands at the end of the uncompressed file, so it is looked for there, and survives compression.) Tells too whether
    /// the module is signed.
    pub fn pack(&self, file: &Path) -> Result<(Vec<u8>, bool)> {
        let pack = || -> Result<(Vec<u8>, bool)> {
            let packed = fs::read(file)?;
            let compression = Compression::of_module(file);
            let plain = compression.unpack(&packed)?;
            let signed = is_signed(&plain);
            let packed = match strip::apply(&plain, self.strip)? {
                None if compression == self.compression => packed,
                stripped => self.compression.pack_module(stripped.unwrap_or(plain))?,
            };
            Ok((packed, signed))
        };
        pack().with_context(|| format!("module {}", file.display()))
    }
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
