//! Budgets that cannot be meant, and limits that hold, hardly or not.

use super::*;

fn read(text: &str) -> Result<Budget> {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("budget.toml");
    fs::write(&path, text).unwrap();
    Budget::read(&path)
}

const GOOD: &str = r#"margin = 5
[init.x86_64]
raw = { limit = 1000, reason = "a" }
packed = { limit = 500, reason = "b", margin = 0 }
[initrd.small]
profile = "p.toml"
kernel = "6.1"
packed = { limit = 900, reason = "c" }
[initrd.small.parts.userland]
packed = { limit = 300, reason = "d" }
[uki.small]
initrd = "small"
packed = { limit = 5000, reason = "e" }
[file.boot]
path = "boot.img"
"#;

#[test]
fn what_cannot_be_meant_names_its_line() {
    read(GOOD).unwrap();
    Budget::read(&crate::lab::paths::root().join("size-budget.toml")).unwrap();
    for (old, new, line, want) in [
        (
            "\"b\"",
            "\" \"",
            4,
            "init.x86_64 (packed): a limit needs a reason",
        ),
        ("raw", "rwa", 3, "unknown field `rwa`"),
        (", reason = \"a\"", "", 3, "missing field `reason`"),
        (
            "limit = 1000",
            "limit = 0",
            3,
            "init.x86_64 (raw): a limit of 0 bytes cannot hold",
        ),
        ("limit = 1000", "limit = -1", 3, "invalid value"),
        ("margin = 5", "margin = 100", 1, "a margin of 100 percent"),
        ("margin = 0", "margin = -1", 4, "a margin of -1 percent"),
        (
            "limit = 300",
            "limit = 901",
            10,
            "901 bytes are more than the whole may take, 900",
        ),
        (
            "\"6.1\"",
            "\"2.4\"",
            7,
            "there is no \"2.4\", but 6.1, 6.1-generic",
        ),
        (
            "kernel = \"6.1\"",
            "",
            5,
            "initrd.small: name either a kernel or a modules_dir",
        ),
        (
            "initrd = \"small\"",
            "initrd = \"large\"",
            12,
            "the initrd \"large\" is not in this budget",
        ),
        ("[file.boot]", "[flie.boot]", 14, "unknown field `flie`"),
    ] {
        assert!(GOOD.contains(old), "{old}");
        let error = match read(&GOOD.replacen(old, new, 1)) {
            Ok(_) => panic!("{new} is taken"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(want), "{error}\nlacks {want}");
        assert!(
            error.contains(&format!("line {line}")),
            "{error}\nlacks line {line}"
        );
    }
}

#[test]
fn files_that_are_not_there_name_their_line() {
    let budget = read(GOOD).unwrap();
    let error = format!(
        "{:#}",
        budget.existing(&budget.other["boot"].path).unwrap_err()
    );
    assert!(
        error.contains("line 15: there is no ") && error.contains("boot.img"),
        "{error}"
    );
}

#[test]
fn over_near_and_within() {
    let budget = read(GOOD).unwrap();
    let check = |raw, packed| {
        let artifact = Artifact {
            name: "init.x86_64".to_owned(),
            about: String::new(),
            raw,
            packed,
            content: String::new(),
            parts: Vec::new(),
            views: Vec::new(),
        };
        let states = budget
            .check(&[artifact])
            .into_iter()
            .map(|check| (check.state, check.line));
        states.collect::<Vec<_>>()
    };
    use State::{Near, Over, Within};
    assert_eq!(check(950, 500), [(Within, 3), (Within, 4)]);
    assert_eq!(check(951, 501), [(Near, 3), (Over, 4)]);
    assert_eq!(check(1001, 499), [(Over, 3), (Within, 4)]);
    assert_eq!(
        budget.parts("initrd.small"),
        [(
            "userland",
            true,
            GOOD.find("{ limit = 300").map(|at| at..at + 29).unwrap()
        )]
    );
}
