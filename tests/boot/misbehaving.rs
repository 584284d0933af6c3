//! Modules that hang, crash and take their time, built against Debian's kernel headers and put beside a kernel's own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use builder::kernel::config::Config;
use walkdir::WalkDir;
use xtask::lab::kernels::{self, Series, headers};
use xtask::lab::{cache, paths};

/// Drivers of a device that every machine of the tests has.
pub const HANGS: &str = "toehold_hangs";
pub const CRASHES: &str = "toehold_crashes";
/// A driver of the same device that depends on the one that hangs.
pub const NEEDS: &str = "toehold_needs";
/// One more module that answers to `crypto-sha256`, whose init function takes four seconds from the start, or from where the device of its option
/// `device` is there: as long as verity has to wait, and something can happen. With a single processor everything else would wait as well.
pub const WAITS: &str = "toehold_waits";

/// Name and text of each.
const SOURCES: [(&str, &str); 4] = [
    (
        CRASHES,
        include_str!("../support/modules/toehold_crashes.c"),
    ),
    (HANGS, include_str!("../support/modules/toehold_hangs.c")),
    (NEEDS, include_str!("../support/modules/toehold_needs.c")),
    (WAITS, include_str!("../support/modules/toehold_waits.c")),
];

/// A folder like a kernel's own `lib/modules/<release>` with these modules in it, too.
pub fn modules_dir(series: Series, names: &[&str]) -> Result<PathBuf> {
    let kernel = kernels::fetch(series)?;
    let mut sources = SOURCES.to_vec();
    sources.retain(|(name, _)| names.contains(name));
    let texts: String = sources.iter().map(|(_, text)| *text).collect();
    let key = cache::key(&[texts.as_bytes(), kernel.release.as_bytes()]);
    let folder = paths::output().join("tests/misbehaving").join(key);
    let inside = |root: PathBuf| root.join("lib/modules").join(&kernel.release);
    let folder = cache::folder(&folder, |folder| {
        let build = folder.join("sources");
        fs::create_dir(&build)?;
        let objects: String = names.iter().map(|name| format!(" {name}.o")).collect();
        fs::write(build.join("Kbuild"), format!("obj-m :={objects}\n"))?;
        for (name, text) in &sources {
            fs::write(build.join(name).with_extension("c"), text)?;
        }
        headers::fetch(series)?.build(&build)?;

        let modules_dir = inside(folder.to_owned());
        for entry in WalkDir::new(&kernel.modules_dir) {
            let entry = entry?;
            let to = modules_dir.join(entry.path().strip_prefix(&kernel.modules_dir)?);
            if entry.file_type().is_dir() {
                fs::create_dir_all(to)?;
            } else if entry.file_type().is_file() {
                fs::hard_link(entry.path(), to)?;
            }
        }
        if let Some(config) = Config::find(&kernel.modules_dir)?
            && !config.file.starts_with(&kernel.modules_dir)
        {
            fs::hard_link(config.file, modules_dir.join("config"))?;
        }
        let updates = modules_dir.join("updates");
        fs::create_dir_all(&updates)?;
        for name in names {
            let file = format!("{name}.ko");
            fs::copy(build.join(&file), updates.join(&file)).context(file)?;
        }
        Ok(())
    })?;
    Ok(inside(folder))
}
