//! What a kernel's modules are built against: Debian's header packages, unpacked and never installed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::Series;
use crate::lab::apt::Apt;
use crate::lab::{cache, paths, tools};
use builder::arch::Arch;
use builder::progress;

/// Put in the place of the kernel's build tools: runs each with the C library and the other libraries of its own suite,
/// whatever those of this machine are.
const WRAPPER: &str = r#"#!/bin/sh
self=$(readlink -f "$0")
root=${self%/usr/lib/linux-kbuild-*}
libraries=lib/x86_64-linux-gnu
exec "$root/$libraries/ld-linux-x86-64.so.2" --argv0 "$self" \
    --library-path "$root/$libraries:$root/usr/$libraries" "$self.elf" "$@"
"#;

/// The headers of one kernel, with its build tools.
pub struct Headers {
    /// The part that all kernels of one version share.
    common: PathBuf,
    /// This kernel's configuration and symbols.
    own: PathBuf,
}

/// Fetches the headers of a kernel, or finds those fetched before.
pub fn fetch(series: Series) -> Result<Headers> {
    let release = super::fetch(series)?.release;
    let folder = paths::output().join("kernels").join("headers");
    let folder = cache::folder(&folder.join(&release), |folder| {
        unpack(series, &release, folder).with_context(|| {
            let kernel = paths::output().join("kernels").join(series.name());
            format!(
                "cannot get the headers of Linux {release}; if Debian has a newer one by now, remove {} to get that",
                kernel.display()
            )
        })
    })?;
    let sources = folder.join("usr/src");
    let own = format!("linux-headers-{release}");
    let common = fs::read_dir(&sources)
        .with_context(|| format!("cannot list {}", sources.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-common"))
        .with_context(|| format!("no headers are in {}", sources.display()))?;
    Ok(Headers {
        common,
        own: sources.join(own),
    })
}

fn unpack(series: Series, release: &str, folder: &Path) -> Result<()> {
    let (suite, _) = series.source();
    let headers = format!("linux-headers-{release}");
    let step = progress::step(format!("fetching {headers}"));
    let apt = Apt::open(suite, Arch::X86_64)?;
    let tools = apt.fresh(|| {
        apt.unpack(&headers, folder)?;
        apt.unpack(&apt.resolve(&headers, "linux-headers-")?, folder)?;
        apt.resolve(&headers, "linux-kbuild-")
    })?;
    step.now(&format!("fetching {tools}"));
    apt.unpack_closure(&[&tools], folder)?;
    // Newer suites have everything below /usr.
    if !folder.join("lib").exists() {
        symlink("usr/lib", folder.join("lib"))?;
    }
    wrap(&folder.join("usr/lib").join(tools))?;
    step.done();
    Ok(())
}

/// Puts [`WRAPPER`] in the place of every program below `folder`.
fn wrap(folder: &Path) -> Result<()> {
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type().is_file() || entry.metadata()?.permissions().mode() & 0o111 == 0 {
            continue;
        }
        let mut magic = [0; 4];
        if File::open(path)?.read(&mut magic)? == 4 && magic == *b"\x7fELF" {
            fs::rename(path, path.with_added_extension("elf"))?;
            fs::write(path, WRAPPER)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

impl Headers {
    /// Builds the modules that `folder` has sources and a `Kbuild` of; they come to lie in there, too.
    pub fn build(&self, folder: &Path) -> Result<()> {
        // make cuts its words at blanks, and kbuild's targets end at colons.
        for path in [folder, &self.own] {
            if path.to_string_lossy().contains([' ', ':']) {
                bail!(
                    "kernel modules cannot be built in {}: no blank and no colon may be in the path",
                    path.display()
                );
            }
        }
        let assign = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut make = tools::MAKE.command()?;
        make.arg("-C").arg(&self.common);
        make.arg(assign("O", &self.own)).arg(assign("M", folder));
        // This machine's compiler, instead of the one that built the kernel; what older ones do not know is left out, and so
        // is BTF, for which they would need yet another program.
        make.args(["CC=gcc", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT="]);
        make.args(["CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]);
        tools::run(make.env_remove("MAKEFLAGS"))?;
        Ok(())
    }
}
