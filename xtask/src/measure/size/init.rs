//! An init by stage, crate and symbol: its twin with symbols tells where they lie in the file that ships.

use std::{fs, ops::Range, path::Path};

use anyhow::{Context, Result};
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use super::{Artifact, View, marginal::Measure};
use crate::lab::cache;
use builder::archive::compress;

/// What lies in the file and belongs to no symbol: constants that the compiler gave no name, the ELF header, padding.
const NAMELESS: &str = "(no symbol)";

/// A symbol, and where its bytes lie in the file.
struct Symbol {
    name: String,
    range: Range<usize>,
}

/// Measures the init at `path`; `init.debug` must lie beside it.
pub fn measure(name: &str, about: String, path: &Path) -> Result<Artifact> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let debug = path.with_extension("debug");
    let (file, twin) = (read(path)?, read(&debug)?);
    let symbols = symbols(&file, &twin)
        .with_context(|| format!("{} and {} do not fit", path.display(), debug.display()))?;
    let packed = compress::zstd(&file)?.len() as u64;
    let by = |by: &str, name: &dyn Fn(&str) -> String, group: &dyn Fn(&str) -> String| {
        let pieces = symbols.iter().map(|symbol| {
            (
                name(&symbol.name),
                group(&symbol.name),
                symbol.range.clone(),
            )
        });
        View::of(by, pieces, &file, packed, Measure::EXACT)
    };
    let none = |_: &str| String::new();
    let views = vec![
        by("stage", &stage, &none)?,
        by("crate", &|name| crate_of(name).to_owned(), &none)?,
        by("symbol", &str::to_owned, &stage)?,
    ];
    Ok(Artifact {
        name: name.to_owned(),
        about,
        raw: file.len() as u64,
        packed,
        content: cache::digest(&file),
        parts: Vec::new(),
        views,
    })
}

/// Every byte of the file, by symbol, ascending; instances of one generic function have the same name.
fn symbols(file: &[u8], twin: &[u8]) -> Result<Vec<Symbol>> {
    let shipped = object::File::parse(file)?;
    let twin = object::File::parse(twin)?;
    let place = |address: u64| {
        shipped.segments().find_map(|segment| {
            let (offset, bytes) = segment.file_range();
            let inside = address.checked_sub(segment.address())?;
            (inside < bytes).then_some((offset + inside) as usize)
        })
    };
    let mut found: Vec<Symbol> = twin
        .symbols()
        .filter(|symbol| symbol.size() > 0 && symbol.kind() != SymbolKind::Section)
        .filter_map(|symbol| {
            let start = place(symbol.address())?;
            Some(Symbol {
                name: folded(symbol.name().ok()?),
                range: start..start + symbol.size() as usize,
            })
        })
        .collect();
    found.sort_by(|one, other| (one.range.start, &one.name).cmp(&(other.range.start, &other.name)));
    let mut all: Vec<Symbol> = Vec::new();
    let mut end = 0;
    let nameless = |range| Symbol {
        name: NAMELESS.to_owned(),
        range,
    };
    for mut symbol in found {
        if symbol.range.start > end {
            all.push(nameless(end..symbol.range.start));
        }
        // Of symbols at one place the first has the bytes.
        symbol.range.start = symbol.range.start.max(end);
        symbol.range.end = symbol.range.end.min(file.len());
        if !symbol.range.is_empty() {
            end = symbol.range.end;
            all.push(symbol);
        }
    }
    if end < file.len() {
        all.push(nameless(end..file.len()));
    }
    Ok(all)
}

/// A symbol's name for people, without what tells instances of a generic function apart.
fn folded(mangled: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(mangled));
    let mut folded = String::new();
    let mut rest = name.as_str();
    // Arguments follow `::<`; elsewhere `<` stands for a type or an implementation.
    while let Some((before, behind)) = rest.split_once("::<") {
        folded += before;
        let mut depth = 1;
        let end = behind.find(|letter| {
            depth += match letter {
                '<' => 1,
                '>' => -1,
                _ => 0,
            };
            depth == 0
        });
        let argument = end.map_or(behind, |end| &behind[..end]);
        if argument.starts_with("impl ") {
            folded += &format!("::<{argument}>");
        }
        rest = end.map_or("", |end| &behind[end + 1..]);
    }
    folded + rest
}

/// The segments of a symbol's path, the last of which is no module: of `<a::B as c::D>::e` those of `a::B`, of `a::<impl B>::c` those of `a::`.
fn segments(name: &str) -> Vec<&str> {
    let path = name.trim_start_matches(['<', '&']);
    let path = path.strip_prefix("impl ").unwrap_or(path);
    let end = path.find([' ', '<', '>', '{', '(']).unwrap_or(path.len());
    path[..end].split("::").collect()
}

/// The crate that a symbol is of.
fn crate_of(name: &str) -> &str {
    match segments(name).as_slice() {
        [first, _, ..] if name != NAMELESS => first,
        _ if name == NAMELESS => NAMELESS,
        // What the compiler calls by fixed names, and the entry: src/sys.
        _ => "init",
    }
}

/// The file of the source that a symbol is from, below src: `stage/verity`, `format/gpt`; other crates by their names.
fn stage(name: &str) -> String {
    let segments = segments(name);
    match segments.as_slice() {
        _ if name == NAMELESS => NAMELESS.to_owned(),
        ["init" | "toehold", rest @ ..] => {
            let is_module = |part: &&&str| part.starts_with(|first: char| first.is_lowercase());
            let modules: Vec<&str> = rest[..rest.len().saturating_sub(1)]
                .iter()
                .take_while(is_module)
                .take(2)
                .copied()
                .collect();
            match modules.as_slice() {
                [] => "main".to_owned(),
                modules => modules.join("/"),
            }
        }
        [_] | [] => "sys".to_owned(),
        [other, ..] => format!("crate {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_symbols() {
        for (name, crate_name, file) in [
            ("init::stage::verity::run", "init", "stage/verity"),
            (
                "init::loader::<impl init::boot::Boot>::advance",
                "init",
                "loader",
            ),
            (
                "toehold::format::gpt::Table::read_gpt",
                "toehold",
                "format/gpt",
            ),
            (
                "<toehold::spec::Spec as core::fmt::Debug>::fmt",
                "toehold",
                "spec",
            ),
            (
                "init::stage::modules::run::{{closure}}",
                "init",
                "stage/modules",
            ),
            ("init::main", "init", "main"),
            ("core::slice::sort::heapsort", "core", "crate core"),
            ("memcpy", "init", "sys"),
            ("_start", "init", "sys"),
            (NAMELESS, NAMELESS, NAMELESS),
        ] {
            assert_eq!(
                (crate_of(name), stage(name).as_str()),
                (crate_name, file),
                "{name}"
            );
        }
        for (name, want) in [
            ("a::b::<u8>::c", "a::b::c"),
            ("a::b::<a::C<u8>, [u8; 3]>", "a::b"),
            ("a::<impl a::B>::c", "a::<impl a::B>::c"),
            ("<a::B as c::D>::e", "<a::B as c::D>::e"),
            ("memcpy", "memcpy"),
        ] {
            assert_eq!(folded(name), want);
        }
    }
}
