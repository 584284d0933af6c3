//! Drivers that hang and crash, built against Debian's kernel headers and put beside a kernel's own modules.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use walkdir::WalkDir;
use xtask::initrd::config::Config;
use xtask::kernels::{self, Series, headers};
use xtask::{cache, paths};

/// Name and text of each source file.
const SOURCES: [(&str, &str); 3] = [
    ("Kbuild", include_str!("kbuild/Kbuild")),
    (
        "toehold_crashes.c",
        include_str!("kbuild/toehold_crashes.c"),
    ),
    ("toehold_hangs.c", include_str!("kbuild/toehold_hangs.c")),
];

/// The modules, each of which serves a device that every machine of the tests has.
pub const HANGS: &str = "toehold_hangs";
pub const CRASHES: &str = "toehold_crashes";

/// A folder like a kernel's own `lib/kbuild/<release>` with both modules in it.
pub fn modules_dir(series: Series) -> Result<PathBuf> {
    let kernel = kernels::fetch(series)?;
    let texts = SOURCES.map(|(_, text)| text.as_bytes());
    let key = cache::key(&[&texts.concat(), kernel.release.as_bytes()]);
    let folder = paths::output().join("tests/misbehaving").join(key);
    let inside = |root: PathBuf| root.join("lib/modules").join(&kernel.release);
    let folder = cache::folder(&folder, |folder| {
        let sources = folder.join("sources");
        fs::create_dir(&sources)?;
        for (name, text) in SOURCES {
            fs::write(sources.join(name), text)?;
        }
        headers::fetch(series)?.build(&sources)?;

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
        for name in [HANGS, CRASHES] {
            let file = format!("{name}.ko");
            fs::copy(sources.join(&file), updates.join(&file)).context(file)?;
        }
        Ok(())
    })?;
    Ok(inside(folder))
}
