//! What commands write into README.md: each its own part, between `<!-- COMMAND -->` and `<!-- end -->`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::lab::paths;

const END: &str = "<!-- end -->";

fn path() -> PathBuf {
    paths::root().join("README.md")
}

fn read() -> Result<String> {
    fs::read_to_string(path()).context("cannot read README.md")
}

/// Puts what a command says into its place.
pub fn update(command: &str, text: &str) -> Result<()> {
    let old = read()?;
    let new = put(&old, command, text).context("README.md")?;
    if new != old {
        fs::write(path(), new).context("cannot write README.md")?;
    }
    Ok(())
}

/// Whether what a command says is there.
pub fn has(command: &str, text: &str) -> Result<bool> {
    let old = read()?;
    Ok(put(&old, command, text).context("README.md")? == old)
}

fn put(document: &str, command: &str, text: &str) -> Result<String> {
    let first = format!("<!-- {command} -->");
    let parts = document
        .split_once(&first)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, behind) =
        parts.with_context(|| format!("no line {first} with {END} behind it"))?;
    Ok(format!("{before}{first}\n\n{text}\n{END}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::put;

    #[test]
    fn each_in_its_place() {
        let document = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\nc\n";
        let once = put(document, "one", "new\n").unwrap();
        let want = "a\n<!-- one -->\n\nnew\n\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\nc\n";
        assert_eq!(once, want);
        assert_eq!(put(&once, "one", "new\n").unwrap(), once);
        let both = put(&once, "two", "x\n").unwrap();
        assert_eq!(both, want.replace("two -->\n", "two -->\n\nx\n\n"));
        let error = put("a", "one", "new").unwrap_err().to_string();
        assert!(error.contains("<!-- one -->"), "{error}");
    }
}
