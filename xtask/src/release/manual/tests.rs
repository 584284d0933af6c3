//! The manual tells what there is: every option, every key with its default, the log's lines, the files.

use std::collections::BTreeSet;
use std::time::Duration;

use toehold::asked::{ROOT_WORDS, USR_WORDS};
use toehold::failure::{Stage, Step};

use super::*;
use crate::lab::{console::Log, tools};
use builder::profile::Profile;

fn keys() -> String {
    paths::text("xtask/profiles/KEYS.md").unwrap()
}

/// What stands below a heading, up to the next of its level or a higher one.
fn below<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n{heading}\n"))?;
    let level = heading.bytes().take_while(|letter| *letter == b'#').count();
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    Some(rest[..ends.min().unwrap_or(rest.len())].trim_matches('\n'))
}

/// The rows of the table below a heading: key, default.
fn rows(heading: &str) -> Vec<(String, String)> {
    let keys = keys();
    let section = below(&keys, &format!("## {heading}")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = cells[0].trim_start_matches("| ").trim_matches('`');
        // An empty cell between two bars.
        let default = if cells.len() == 4 {
            cells[2].trim_matches('`')
        } else {
            ""
        };
        (name.to_owned(), default.to_owned())
    })
    .collect()
}

const TABLES: [&str; 7] = [
    "modules",
    "verity",
    "usr",
    "root",
    "netboot",
    "emergency",
    "cmdline",
];

/// A profile with what it needs, and this in one of its tables.
fn with(table: &str, key: &str) -> String {
    let usr = "mountpoint = \"/m\"\nimage = \"i\"\n";
    match table {
        "root" => format!("mode = \"root\"\n[root]\n{key}\n"),
        "usr" => format!("mode = \"usr\"\n[usr]\n{usr}{key}\n"),
        _ => format!("mode = \"usr\"\n[usr]\n{usr}[{table}]\n{key}\n"),
    }
}

fn parse(text: &str) -> Result<Profile, String> {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("profile.toml");
    std::fs::write(&path, text).unwrap();
    Profile::read(&path).map_err(|error| format!("{error:#}"))
}

/// The keys that a profile's table may have, as the refusal of another one lists them.
fn expected(text: &str) -> BTreeSet<String> {
    let error = parse(text).unwrap_err();
    let (_, list) = error
        .split_once("expected ")
        .unwrap_or_else(|| panic!("{error}"));
    let names = list.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_profile_is_described() {
    let mut top = expected("mode = \"root\"\nnonsense = 1\n");
    assert_eq!(
        rows("Top level"),
        [("mode".to_owned(), "needed".to_owned())]
    );
    assert!(top.remove("mode"));
    assert_eq!(top, TABLES.map(str::to_owned).into());
    for table in TABLES {
        let there = expected(&with(table, "nonsense = 1"));
        let described: BTreeSet<String> = rows(table).into_iter().map(|(key, _)| key).collect();
        assert_eq!(described, there, "[{table}]");
    }
}

#[test]
fn defaults_are_what_the_table_says() {
    let mut seen = 0;
    for table in TABLES {
        let without = format!("{:?}", parse(&with(table, "")).unwrap());
        for (key, default) in rows(table) {
            if default == "needed" {
                let text = with(table, "").replace(&format!("{key} ="), "# ");
                assert!(
                    parse(&text)
                        .unwrap_err()
                        .contains(&format!("missing field `{key}`"))
                );
            } else if !default.is_empty() {
                let profile = parse(&with(table, &format!("{key} = {default}"))).unwrap();
                assert_eq!(format!("{profile:?}"), without, "{table}.{key}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} defaults");
}

#[test]
fn the_example_is_a_profile() {
    let keys = keys();
    let (_, rest) = keys.split_once("```toml\n").unwrap();
    parse(rest.split_once("```").unwrap().0).unwrap();
}

#[test]
fn every_word_of_the_command_line_is_described() {
    let page = paths::text("xtask/src/release/pages/toehold.8.md").unwrap();
    let section = below(&page, "## Kernel command line").unwrap();
    for words in [USR_WORDS, ROOT_WORDS] {
        for word in String::from_utf8_lossy(words).split(' ') {
            // The place of a word that this mode has not, or a pattern of what is refused.
            let is_none = word == "==" || word.ends_with('*');
            assert!(is_none || section.contains(&format!("`{word}=")), "{word}");
        }
    }
}

#[test]
fn log_lines_are_those_that_tools_read() {
    let page = paths::text("xtask/src/release/pages/toehold.8.md").unwrap();
    let section = below(&page, "## Log").unwrap();
    let lines = section.lines().filter(|line| line.starts_with("toehold: "));
    let log = Log {
        lines: lines.map(|line| format!("[    1.000000] {line}")).collect(),
    };
    assert_eq!(log.lines.len(), 3);
    assert_eq!(log.stages()[0].at, Duration::from_micros(412_345));
    assert!(log.failed().is_some());
    assert_eq!(log.stage2(), Some(Duration::from_micros(900_100)));
    let names: Vec<String> = Stage::ALL
        .iter()
        .map(|stage| format!("`{}`", String::from_utf8_lossy(stage.name())))
        .collect();
    assert_eq!(names.len(), 7);
    let (first, last) = (names[..6].join(", "), &names[6]);
    let list = format!("The stages are {first} and {last}, in this order.");
    assert!(section.contains(&list), "{list}");
}

#[test]
fn failures_are_those_of_the_init() {
    let table = failures::table();
    for line in [
        "| `probe` | wrong root hash or salt, or the image was changed | the first block fails",
        "| `loop` |  | the stage-2 image cannot",
    ] {
        assert!(table.contains(line), "{line}");
    }
    // A row each, below the head.
    assert_eq!(table.lines().count(), Step::ALL.len() + 2);
    assert!(
        documents::has(INIT, FAILURES, &table).unwrap(),
        "the table of failures is another one: `cargo xtask dist --pages` writes it"
    );
}

#[test]
fn files_that_the_init_leaves_are_named() {
    let page = paths::text("xtask/src/release/pages/toehold.8.md").unwrap();
    let described = below(&page, "## Files").unwrap();
    let mut seen = BTreeSet::new();
    for entry in walkdir::WalkDir::new(paths::root().join("src")) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let source = std::fs::read_to_string(entry.path()).unwrap();
        for (_, rest) in source
            .match_indices("\"/run/")
            .map(|(at, _)| source.split_at(at + 1))
        {
            let path = rest.split('"').next().unwrap();
            // Directories are named with what is in them.
            let listed = described.contains(&format!("`{path}`"));
            assert!(listed || described.contains(&format!("`{path}/")), "{path}");
            seen.extend(listed.then(|| path.to_owned()));
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[test]
fn every_option_is_in_the_page_and_no_page_is_without_sections() {
    let pages = pages().unwrap();
    let page = |name: &str| {
        let found = pages.iter().find(|(page, _)| page == name);
        found.unwrap().1.as_str()
    };
    let command = mkinitrd::Cli::command();
    let mut seen = 0;
    let builder = page("toehold-mkinitrd.1");
    let (synopsis, _) = builder.split_once(".SH DESCRIPTION").unwrap();
    for option in command.get_arguments() {
        let Some(name) = option.get_long() else {
            continue;
        };
        let name = format!("\\-\\-{}\\fR", name.replace('-', "\\-"));
        assert!(builder.contains(&name), "{name}");
        assert_eq!(synopsis.contains(&name), option.is_required_set(), "{name}");
        seen += 1;
    }
    assert!(seen > 8, "{seen} options");
    // With a term for each word.
    for word in ["verity.usrhash=HEX", "rd.emergency=", "usrhash=HEX"] {
        let term = format!(".TP\n\\fB{word}\\fR");
        assert!(page("toehold.8").contains(&term), "{term}");
    }
    for (name, text) in &pages {
        let section = name.rsplit('.').next().unwrap();
        assert!(
            text.contains(&format!(" {section} \"\" \"toehold {VERSION}\" Toehold\n")),
            "{name}"
        );
        assert!(
            text.contains(".SH NAME\n") && text.contains(".SH \"SEE ALSO\"\n"),
            "{name}"
        );
        assert!(text.is_ascii());
    }
}

#[test]
fn formatters_have_nothing_to_say_about_the_pages() {
    tools::require(&[tools::GROFF]).unwrap();
    let room = tempfile::tempdir().unwrap();
    for (name, text) in pages().unwrap() {
        let path = room.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut groff = tools::GROFF.command().unwrap();
        let output = tools::run(groff.args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path)).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn every_key_of_json_has_a_meaning() {
    let forms = forms();
    assert!(!forms.contains("|  |") && !forms.contains("[`"), "{forms}");
    for key in [
        "pieces[].entries[].link",
        "pack.groups[].modules[].name",
        "entries[].packed_bytes",
    ] {
        assert!(
            forms.contains(&format!("\n| `{key}` | ")),
            "no {key} in {forms}"
        );
    }
    let page = builder().unwrap();
    assert!(page.contains("WHAT LIST --JSON PRINTS") && page.contains("SEE ALSO"));
}
