//! The rooms of the builder and of xtask: the lists at the head of the two crates, held against what their files import.

use std::fs;
use std::path::Path;

use super::{files, named, root};

/// The rooms of a crate, the uppermost first, as the list in its documentation has them: those of
/// one line are on one floor.
fn rooms(lib: &str) -> Vec<Vec<&str>> {
    let lines = lib.lines().filter_map(|line| line.strip_prefix("//! - "));
    let lists = lines.filter(|line| line.starts_with('`'));
    let names = lists.map(|line| line.split(": ").next().unwrap_or(line));
    names
        .map(|names| names.split('`').skip(1).step_by(2).collect())
        .collect()
}

/// What is wrong with the file `path` of the crate's folder.
fn wrong(rooms: &[Vec<&str>], path: &Path, text: &str) -> Vec<String> {
    let floor = |name: &str| rooms.iter().position(|names| names.contains(&name));
    let mut parts = path.iter().filter_map(|part| part.to_str());
    let room = parts.next().unwrap_or_default().trim_end_matches(".rs");
    let shown = path.display();
    let Some(own) = floor(room) else {
        return vec![format!("{shown}: {room} is in no list of rooms")];
    };
    let mut wrong = Vec::new();
    for name in named(text) {
        let name = name.as_str();
        // What is on the same floor is either the room itself or its neighbour.
        if floor(name).is_some_and(|floor| floor < own || floor == own && name != room) {
            wrong.push(format!("{shown} uses {name}"));
        }
    }
    let leaves = match parts.next() {
        None => "\nuse super::",
        Some(_) => "super::super::",
    };
    if text.contains(leaves) {
        wrong.push(format!("{shown} leaves its room by `super`"));
    }
    wrong
}

#[test]
fn nothing_is_used_upwards() {
    for (folder, at_least) in [("xtask/builder/src", 40), ("xtask/src", 70)] {
        let lib = fs::read_to_string(root().join(folder).join("lib.rs")).unwrap();
        let rooms = rooms(&lib);
        let (mut count, mut all) = (0, Vec::new());
        for file in files(folder, "rs") {
            let inside = file.strip_prefix(root().join(folder)).unwrap();
            if !["lib.rs", "main.rs"].map(Path::new).contains(&inside) {
                count += 1;
                all.extend(wrong(&rooms, inside, &fs::read_to_string(&file).unwrap()));
            }
        }
        assert!(count >= at_least, "{count} files in {folder}");
        assert!(all.is_empty(), "{folder}:\n{}", all.join("\n"));
    }
}

#[test]
fn an_import_that_goes_up_is_found() {
    let rooms =
        rooms("//! - `top`: one\n//! - `one` and `two`: two\n//! text\n//! - `low`: three\n");
    assert_eq!(rooms, [&["top"][..], &["one", "two"], &["low"]]);
    let wrong = |path: &str, text: &str| wrong(&rooms, path.as_ref(), text);
    for (path, text, want) in [
        ("low.rs", "use crate::one::Thing;", "low.rs uses one"),
        (
            "low/a.rs",
            "use crate::{\n    Verdict,\n    low::{b, c},\n    top,\n};",
            "low/a.rs uses top",
        ),
        (
            "one.rs",
            "fn a() {\n    crate::two::b();\n}",
            "one.rs uses two",
        ),
        (
            "low.rs",
            "//!\nuse super::top;",
            "low.rs leaves its room by `super`",
        ),
        (
            "low/a/b.rs",
            "use super::super::top;",
            "low/a/b.rs leaves its room by `super`",
        ),
        ("other.rs", "", "other.rs: other is in no list of rooms"),
    ] {
        assert_eq!(wrong(path, text), [want], "{text}");
    }
    for (path, text) in [
        (
            "top.rs",
            "use crate::{low::{one, two}, one};\nmod tests {\n    use super::*;\n}",
        ),
        (
            "one/a.rs",
            "use super::b;\nuse crate::one::c;\nuse crate::Verdict;",
        ),
    ] {
        assert_eq!(wrong(path, text), [""; 0], "{text}");
    }
}
