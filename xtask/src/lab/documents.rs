//! What is generated in README.md and in the manual: parts, each between `<!-- NAME -->` and `<!-- end -->`.

use std::fs;

use anyhow::{Context, Result};

use super::paths;

/// What commands write into.
pub const README: &str = "README.md";

const END: &str = "<!-- end -->";

/// Puts a part into its place in a document of this checkout.
pub fn update(document: &str, name: &str, text: &str) -> Result<()> {
    let old = paths::text(document)?;
    let new = put(&old, name, text).with_context(|| document.to_owned())?;
    if new != old {
        let path = paths::root().join(document);
        fs::write(path, new).with_context(|| format!("cannot write {document}"))?;
    }
    Ok(())
}

/// Whether the part is there as it is now.
pub fn has(document: &str, name: &str, text: &str) -> Result<bool> {
    let old = paths::text(document)?;
    Ok(put(&old, name, text).with_context(|| document.to_owned())? == old)
}

fn put(document: &str, name: &str, text: &str) -> Result<String> {
    let first = format!("<!-- {name} -->");
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
