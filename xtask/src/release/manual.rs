//! The manual: pages written in Markdown, which the repository shows as they are, and the builder's, which its command line makes.

mod page;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use super::VERSION;
use crate::lab::paths;
use builder::commands::mkinitrd;

/// Pages in Markdown.
pub const PAGES: [(&str, &str); 2] = [
    ("toehold.8", "xtask/src/release/pages/toehold.8.md"),
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
- `../lib/toehold/ARCH/init`: the init of each architecture.

## Example

```
toehold-mkinitrd --modules-dir /usr/lib/modules/6.1.0-56-amd64 --profile flatcar -o initrd.img
```

## See also

**toehold.profile**(5), **toehold**(8)
";

#[cfg(test)]
mod tests;
