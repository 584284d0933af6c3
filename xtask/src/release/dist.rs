//! The release archive: the builder and the inits, with all that belongs to them, the same bytes wherever it is made.

use std::{env, fs};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use super::archive::{self, File, Files};
use super::packages::Packages;
use super::{VERSION, deb, licences, links, manual, program, sbom};
use crate::lab::{build, paths};
use builder::{arch::Arch, commands::mkinitrd, progress, shipped::INITS};

/// The archive's one folder.
pub fn top() -> String {
    format!("toehold-{VERSION}")
}

/// The archive's file name; the builder in it runs on machines like this one.
pub fn file_name() -> String {
    format!("{}-{}.tar.gz", top(), env::consts::ARCH)
}

/// All that ships, built.
pub struct Release {
    files: Files,
    time: u64,
}

impl Release {
    /// Builds everything.
    pub fn build() -> Result<Self> {
        let time = env::var("SOURCE_DATE_EPOCH").ok();
        let time = archive::time(time.as_deref())?;
        let packages = Packages::read()?;
        let step = progress::step(format!("building {}, optimised", program::NAME));
        let builder = program::build(&packages)?;
        step.done();
        let files = files(&packages, builder)?;
        Ok(Self { files, time })
    }

    /// The archive.
    pub fn archive(&self) -> Result<Vec<u8>> {
        archive::pack(&top(), &self.files, self.time)
    }

    /// The Debian package.
    pub fn deb(&self) -> Result<Vec<u8>> {
        deb::build(&self.files, self.time)
    }
}

/// All files of the archive, of which `builder` is toehold-mkinitrd.
pub fn files(packages: &Packages, builder: Vec<u8>) -> Result<Files> {
    let mut files = Files::new();
    let step = progress::step("building the inits that ship");
    for arch in Arch::ALL {
        let init = build::init(arch)?;
        let bytes = fs::read(&init).with_context(|| format!("cannot read {}", init.display()))?;
        files.insert(format!("{INITS}/{arch}/init"), File::program(bytes));
    }
    step.done();
    files.insert(format!("bin/{}", program::NAME), File::program(builder));
    let sbom = sbom::document(&top(), VERSION, &files, packages)?;
    files.insert(
        "share/doc/toehold/toehold.cdx.json".to_owned(),
        File::text(sbom),
    );
    let licences = File::text(licences::page(packages)?);
    files.insert("share/doc/toehold/THIRD-PARTY".to_owned(), licences);
    files.extend(texts()?);
    Ok(files)
}

/// The hooks for those who install kernels: their places in the archive, and in the repository.
const HOOKS: [(&str, &str); 3] = [
    (
        "lib/kernel/install.d/56-toehold.install",
        "56-toehold.install",
    ),
    (
        "share/toehold/kernel/postinst.d/toehold",
        "postinst.d/toehold",
    ),
    ("share/toehold/kernel/postrm.d/toehold", "postrm.d/toehold"),
];

/// What is written for those who have the archive and no checkout, likewise.
const DOCUMENTS: [(&str, &str); 2] = [
    ("INSTALL.md", "INSTALL.md"),
    ("share/doc/toehold/CHANGELOG.md", "CHANGELOG.md"),
];

/// All that is neither compiled nor about what is.
fn texts() -> Result<Files> {
    let mut files = Files::new();
    for (place, name) in HOOKS {
        let hook = paths::text(&format!("xtask/src/release/hooks/{name}"))?;
        files.insert(place.to_owned(), File::program(hook.into_bytes()));
    }
    for (place, name) in DOCUMENTS {
        let text = paths::text(&format!("xtask/src/release/pages/{name}"))?;
        files.insert(place.to_owned(), File::text(text));
    }
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files.insert(
            format!("share/doc/toehold/{name}"),
            File::text(paths::text(name)?),
        );
    }
    let folder = paths::root().join("xtask/profiles");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_str().context("a profile with a strange name")?;
        if name.ends_with(".toml") || name.ends_with(".md") {
            let text = paths::text(&format!("xtask/profiles/{name}"))?;
            let text = match name.ends_with(".md") {
                true => links::shipped(&text, |target| {
                    folder.join(target).is_file() && !target.contains('/')
                }),
                false => text,
            };
            files.insert(format!("share/toehold/profiles/{name}"), File::text(text));
        }
    }
    for (name, page) in manual::pages()? {
        let section = name.rsplit('.').next().unwrap_or_default();
        files.insert(format!("share/man/man{section}/{name}"), File::text(page));
    }
    for (shell, path) in [
        (Shell::Bash, "bash-completion/completions/toehold-mkinitrd"),
        (
            Shell::Fish,
            "fish/vendor_completions.d/toehold-mkinitrd.fish",
        ),
        (Shell::Zsh, "zsh/site-functions/_toehold-mkinitrd"),
    ] {
        let mut script = Vec::new();
        let mut command = mkinitrd::Cli::command();
        clap_complete::generate(shell, &mut command, program::NAME, &mut script);
        files.insert(format!("share/{path}"), File::text(script));
    }
    Ok(files)
}
