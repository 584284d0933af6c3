//! The manual: pages written in Markdown, with parts of README.md in them, and the builder's, which its command line makes.

mod page;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use super::VERSION;
use crate::lab::paths;
use builder::commands::mkinitrd;

/// Pages in Markdown. A comment `<!-- include FILE: HEADING -->` stands for what is below that heading in a file of the repository.
pub const PAGES: [(&str, &str); 2] = [
    ("toehold.8", "xtask/src/release/pages/toehold.8.md"),
    ("toehold.profile.5", "xtask/profiles/KEYS.md"),
];

/// The pages' file names and texts.
pub fn pages() -> Result<Vec<(String, String)>> {
    let mut pages = vec![("toehold-mkinitrd.1".to_owned(), builder()?)];
    for (name, file) in PAGES {
        let text = with_parts(&paths::text(file)?).with_context(|| file.to_owned())?;
        let page = page::from_markdown(&text).with_context(|| file.to_owned())?;
        pages.push((name.to_owned(), page));
    }
    Ok(pages)
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
    let more = page::body(BUILDER);
    Ok(page::ascii(&(String::from_utf8(text)? + &more)))
}

/// With the options that are needed by their names; the others are below.
const SYNOPSIS: &str = "\
## Synopsis

**toehold-mkinitrd** **--modules-dir** *DIR* **--profile** *PROFILE* **--out** *OUT* [*option*…]
";

/// What the command line does not tell.
const BUILDER: &str = "\
## Files

- `../share/toehold/profiles/NAME.toml`, from the program: ready profiles, which `--profile NAME` takes.
- `../lib/toehold/ARCH/init…`: the inits. Taken is the smallest that has what the profile needs.

## Example

```
toehold-mkinitrd --modules-dir /usr/lib/modules/6.1.0-56-amd64 --profile flatcar -o initrd.img
```

## See also

**toehold.profile**(5), **toehold**(8)
";

/// Puts the parts of other files into a page.
fn with_parts(page: &str) -> Result<String> {
    let mut text = String::new();
    for line in page.lines() {
        let include = line.strip_prefix("<!-- include ");
        match include.and_then(|rest| rest.strip_suffix(" -->")) {
            None => text += line,
            Some(include) => {
                let parts = include.split_once(": ");
                let (file, heading) = parts.with_context(|| format!("{line} names no heading"))?;
                text += below(&paths::text(file)?, heading)
                    .with_context(|| format!("{file} has no heading {heading}"))?;
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// What stands below a heading, up to the next of its level or a higher one.
fn below<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n{heading}\n"))?;
    let level = heading.bytes().take_while(|letter| *letter == b'#').count();
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    Some(rest[..ends.min().unwrap_or(rest.len())].trim_matches('\n'))
}

#[cfg(test)]
mod tests;
