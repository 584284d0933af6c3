//! The manual: pages written in Markdown, which the repository shows as they are, and the builder's, which its command line makes.

mod failures;
pub mod json;
mod page;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use super::VERSION;
use crate::lab::{documents, paths};

use builder::{commands::mkinitrd, initrd::manifest::Manifest, look::contents::Contents};

/// The page of the init.
const INIT: &str = "xtask/src/release/pages/toehold.8.md";
/// What becomes its table of failures.
const FAILURES: &str = "failures";

/// Pages in Markdown.
pub const PAGES: [(&str, &str); 3] = [
    ("toehold.8", INIT),
    (
        "toehold.lock.7",
        "xtask/src/release/pages/toehold.lock.7.md",
    ),
    ("toehold.profile.5", "xtask/profiles/KEYS.md"),
];

/// The pages' file names and texts.
pub fn pages() -> Result<Vec<(String, String)>> {
    let mut pages = vec![("toehold-mkinitrd.1".to_owned(), builder()?)];
    for (name, file) in PAGES {
        let text = paths::text(file)?;
        let page = page::from_markdown(&text).with_context(|| file.to_owned())?;
        pages.push((name.to_owned(), page));
    }
    Ok(pages)
}

/// Writes what is generated in the pages of this checkout.
pub fn update() -> Result<()> {
    documents::update(INIT, FAILURES, &failures::table())
}

/// toehold-mkinitrd(1).
fn builder() -> Result<String> {
    let page = Man::new(mkinitrd::Cli::command())
        .date("\"\"")
        .source(format!("toehold {VERSION}"))
        .manual(page::MANUAL);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    text.extend(page::body(SYNOPSIS).bytes());
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    let more = page::body(&format!("{BUILDER}\n{}{SEE_ALSO}", forms()));
    Ok(page::ascii(&(String::from_utf8(text)? + &more)))
}

/// With the options that are needed by their names; the others are below.
const SYNOPSIS: &str = "\
## Synopsis

**toehold-mkinitrd** **--modules-dir** *DIR* **--profile** *PROFILE* **--out** *OUT* [*option*…]

**toehold-mkinitrd** **profile** [**--root** *DIR*] [**--modules-dir** *DIR*]

**toehold-mkinitrd** **check** *PROFILE* [**--modules-dir** *DIR*]

**toehold-mkinitrd** **list** *INITRD* [**--json**]

**toehold-mkinitrd** **extract** *INITRD* **--out** *DIR* [**--force**]
";

/// What the command line does not tell.
const BUILDER: &str = "\
## Making a profile

`profile` prints a profile of the machine that it runs on, with comments, ready to be edited: which filesystem /usr or the root is, what that
lies on, verity as the kernel command line has it, and only the drivers on the way to that disk, and those of consoles and keyboards. It
reads /proc, /sys and the kernel's modules, and needs no root.

With `--root DIR` it reads what is there of those below DIR: of a root that no kernel runs in, etc/fstab, etc/kernel/cmdline and the modules of
its only kernel. What could not be known is told, and stands in a comment that begins with `Not known:`.

## Checking a profile

`check PROFILE` says what is wrong with a profile, and builds nothing: exit code 1 if something is. With `--modules-dir` it says, too, whether
that kernel has the modules.

## Looking into an initrd

Whoever made it, or a unified kernel image. Modules in Toehold's module pack are files like others there.

- `list INITRD` lists what it holds, archive by archive, with the modules in the pack by their groups; `--json` is for tools.
- `extract INITRD --out DIR` takes the files out. Later ones replace earlier ones, as the kernel does it, and what would lie outside of DIR
  is refused: exit code 1. DIR has to be empty, or `--force` replaces what is there.

## Files

- `../share/toehold/profiles/NAME.toml`, from the program: ready profiles, which `--profile NAME` takes.
- `../lib/toehold/ARCH/init`: the init of each architecture.
- `/etc/toehold/profile.toml`, `/etc/toehold/hooks.conf`: what the hooks for kernel-install and for Debian's kernel packages make an initrd
  of when a kernel is installed; without the first one Debian's do nothing. The packagers' page, `profiles/README.md`, tells of them.

## Environment

- `NO_COLOR`: if it is set and not empty, nothing is coloured; nor is it in a pipe, or where `TERM` is `dumb`. Progress is for terminals only.

## Example

```
toehold-mkinitrd --modules-dir /usr/lib/modules/6.1.0-56-amd64 --profile flatcar -o initrd.img
toehold-mkinitrd profile > my.toml
toehold-mkinitrd list initrd.img
```
";

const SEE_ALSO: &str = "
## See also

**toehold.profile**(5), **toehold**(8)
";

/// What is written as JSON.
fn forms() -> String {
    format!(
        "## What `list --json` prints\n\n{}\n## What OUT.json has\n\nThe manifest of an initrd. Entries are in the archive's order.\n\n{}",
        json::table::<Contents>(),
        json::table::<Manifest>()
    )
}

#[cfg(test)]
mod tests;
