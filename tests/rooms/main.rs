//! The house rules: which room may use which, and how long files, functions and lines of `src/` may be.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the init, from the bottom to the top. Each may use itself, what stands before it, and the library beside all of them.
const ROOMS: [&str; 5] = ["sys", "machine", "stage", "rescue", "main"];

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the repository with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The path of a file's module, as `["stage", "verity", "mapper"]`.
fn module(file: &Path) -> Vec<String> {
    let below = file.strip_prefix(root().join("src"));
    let below = below.unwrap().with_extension("");
    let names = below.iter().map(|name| name.to_str().unwrap().to_owned());
    names.collect()
}

/// The code of a file, its comments left out.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a path or a group of paths (`{a::b, c}`) begins with.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(group) = path.trim_start().strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// What a text names of its crate: what follows `crate::`, also in braces.
fn named(text: &str) -> Vec<String> {
    let places = text.match_indices("crate::");
    places
        .flat_map(|(at, start)| first_names(&text[at + start.len()..]))
        .collect()
}

/// The rooms that the code of a module uses, by paths from the crate's root, written as `crate::…` or as enough `super::`.
fn used(module: &[String], code: &str) -> Vec<String> {
    let mut used = named(code);
    for (at, _) in code.match_indices("super::") {
        // The first of several in a row stands for all.
        if code[..at].ends_with("super::") {
            continue;
        }
        let (mut rest, mut above) = (&code[at..], module.len());
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, above) = (after, above.saturating_sub(1));
        }
        if above == 0 {
            used.extend(first_names(rest));
        }
    }
    used
}

/// What a module uses although it stands above it.
fn upward(module: &[String], code: &str) -> Vec<String> {
    let place = |name: &str| ROOMS.iter().position(|room| *room == name);
    // What is no room belongs to the library, which stands beside all of them and uses none.
    let own = place(&module[0]);
    let mut used = used(module, code);
    used.retain(|name| place(name).is_some_and(|room| own.is_none_or(|own| room > own)));
    used
}

#[test]
fn no_room_uses_one_above_it() {
    let mut imports = 0;
    for file in files("src", "rs") {
        let (module, code) = (module(&file), code(&fs::read_to_string(&file).unwrap()));
        let upward = upward(&module, &code);
        assert!(upward.is_empty(), "{} uses {upward:?}", file.display());
        imports += used(&module, &code).len();
    }
    assert!(imports > 100, "{imports} imports only");
}

/// The check above finds what it has to find.
#[test]
fn a_planted_import_is_found() {
    for (module, text, want) in [
        ("machine/devices", "use crate::stage::verity;", "stage"),
        ("machine", "use crate::{sys::call, rescue};", "rescue"),
        (
            "sys/trace",
            "use crate::{sys::{a, b}, machine::log};",
            "machine",
        ),
        ("sys/trace", "fn f() { crate::main() }", "main"),
        (
            "stage/verity/mapper",
            "use super::super::super::rescue::x;",
            "rescue",
        ),
        ("sys", "pub use super::{machine};", "machine"),
        ("format/gpt", "use crate::sys::files;", "sys"),
        ("request/tests", "use super::super::machine;", "machine"),
        ("rescue", "use crate::stage; // use crate::main;", ""),
        ("stage/usr", "use super::stage2; use crate::machine;", ""),
        ("stage/verity/mapper", "use super::super::device;", ""),
        (
            "machine/log",
            "use crate::sys::{files, trace}; use super::rescue;",
            "",
        ),
    ] {
        let module: Vec<String> = module.split('/').map(str::to_owned).collect();
        let found = upward(&module, &code(text));
        assert_eq!(found.join(" "), want, "{module:?}: {text}");
    }
}

/// `unsafe` stands in `src/sys` alone.
#[test]
fn unsafe_code_in_one_room() {
    let text = |name: &str| fs::read_to_string(root().join("src").join(name)).unwrap();
    assert!(text("lib.rs").contains("#![forbid(unsafe_code)]"));
    assert!(text("main.rs").contains("#![deny(unsafe_code)]"));
    for file in files("src", "rs") {
        let allows = code(&fs::read_to_string(&file).unwrap()).contains("allow(unsafe_code)");
        let is_sys = module(&file)[0] == "sys";
        assert!(!allows || is_sys, "{}", file.display());
    }
}

/// The functions of a file as rustfmt lays them out: their first line and how many there are.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        let begins = words.any(|word| word == "fn") && !line.trim_start().starts_with("//");
        if !begins || line.ends_with(';') || line.ends_with('}') || line.contains(" = |") {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let after = lines[number..].iter().position(|line| *line == end);
        functions.extend(after.map(|after| (line.trim().to_owned(), after + 1)));
    }
    functions
}

#[test]
fn nothing_is_too_long() {
    let mut faults = Vec::new();
    let mut count = 0;
    for file in [
        files("src", "rs"),
        files("linker", "rs"),
        files("linker", "ld"),
    ]
    .concat()
    {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display();
        if text.lines().count() > 350 {
            faults.push(format!("{name}: {} lines", text.lines().count()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > 100 {
                faults.push(format!(
                    "{name}:{}: a line of {}",
                    number + 1,
                    line.chars().count()
                ));
            }
        }
        for (function, lines) in functions(&text) {
            count += 1;
            if lines > 60 {
                faults.push(format!("{name}: {function}: {lines} lines"));
            }
        }
    }
    assert!(count > 300, "{count} functions only");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
