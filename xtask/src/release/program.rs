//! `toehold-mkinitrd` as it ships: the same bytes wherever the checkout lies and whoever builds it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::packages::Packages;
use crate::lab::{paths, toolchain, tools};
use builder::arch::Arch;

/// The program's name.
pub const NAME: &str = "toehold-mkinitrd";

/// Builds it with cargo's profile `dist`; returns its bytes.
pub fn build(packages: &Packages) -> Result<Vec<u8>> {
    let target = paths::root().join("target/mkinitrd");
    let places = places(packages)?;
    let flags = places
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let flags: Vec<String> = flags.collect();
    let c_flags = places
        .iter()
        .map(|(from, to)| format!("'-ffile-prefix-map={}={to}'", from.display()));
    let c_flags: Vec<String> = c_flags.collect();
    let status = toolchain::cargo(Arch::default(), "build")?
        .args([
            "--quiet",
            "--locked",
            "--package=toehold-mkinitrd",
            "--profile=dist",
        ])
        .args(["--bin", NAME, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CFLAGS", c_flags.join(" "))
        // The flags are quoted as a shell wants them: a path can have a blank.
        .env("CC_SHELL_ESCAPED_FLAGS", "1")
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {NAME} ({status}); its messages stand above"
    );
    let path = target.join("dist").join(NAME);
    let program = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for (from, to) in places {
        // The checkout's path alone can be as short as a word.
        let (from, to) = match from == paths::root() {
            true => (
                from.join("xtask/builder/src"),
                format!("{to}/xtask/builder/src"),
            ),
            false => (from, to),
        };
        ensure!(
            from == Path::new(&to) || !contains(&program, &from),
            "{} has the path {} in it: it would be another file elsewhere",
            path.display(),
            from.display()
        );
    }
    Ok(program)
}

/// Folders whose paths compilers write into what they make, and what to write instead. Where two fit, the later one counts.
fn places(packages: &Packages) -> Result<Vec<(PathBuf, String)>> {
    let compiler = tools::capture(&mut toolchain::rustc(&["-vV"]))?;
    let hash = compiler
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    let library = toolchain::sysroot()?.join("lib/rustlib/src/rust");
    let mut places = vec![
        (paths::root().to_owned(), "/toehold".to_owned()),
        // As the compiler has it where the library's source is not installed.
        (library, format!("/rustc/{}", hash.unwrap_or("unknown"))),
    ];
    let sources: BTreeSet<&Path> = packages
        .all
        .values()
        .filter(|package| package.checksum.is_some())
        .filter_map(|package| package.folder.parent())
        .collect();
    places.extend(
        sources
            .into_iter()
            .map(|folder| (folder.to_owned(), "/crates".to_owned())),
    );
    Ok(places)
}

fn contains(program: &[u8], place: &Path) -> bool {
    let place = place.as_os_str().as_encoded_bytes();
    program.windows(place.len()).any(|bytes| bytes == place)
}
