//! Wrong arguments and wrong files: every command says what is wrong in the same way, and exits as it should.

use std::fs;

use super::{in_a_pipe, is_styled, on_a_terminal};

/// What is said of it, and the exit code.
fn said(arguments: &[&str]) -> (String, Option<i32>) {
    let output = in_a_pipe(arguments);
    assert!(output.stdout.is_empty(), "{arguments:?} prints something");
    let said = String::from_utf8(output.stderr).unwrap();
    (said, output.status.code())
}

/// The subcommands, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = String::from_utf8(in_a_pipe(&["--help"]).stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 15, "{names:?}");
    names
}

#[test]
fn every_command_refuses_an_option_that_there_is_not() {
    for command in commands() {
        let (said, code) = said(&[&command, "--no-such-option"]);
        assert_eq!(code, Some(2), "{command}");
        let expected = "error: unexpected argument '--no-such-option' found\n";
        assert!(said.starts_with(expected), "{command}: {said}");
    }
}

#[test]
fn a_file_that_is_not_there_or_is_another() {
    let room = tempfile::tempdir().unwrap();
    let path = |name: &str| room.path().join(name).display().to_string();
    let (none, other, out) = (path("none"), path("other.toml"), path("out"));
    fs::write(&other, "neither = 'of these'\n").unwrap();
    for arguments in [
        &["list"][..],
        &["extract", "--out", &out],
        &["plan"],
        &["coverage"],
        &["chart", "--output", &out],
        &["check"],
        &["size", "--budget"],
        &["profile", "--root"],
        &["boot", "--disk"],
    ] {
        for file in [&none, &other] {
            let mut arguments = [arguments, &[file.as_str()]].concat();
            if arguments[0] == "coverage" {
                arguments.push(file);
            }
            let is_boot = arguments[0] == "boot";
            if is_boot && *file == other {
                // What is on a disk shows when it is booted.
                continue;
            }
            let (said, code) = said(&arguments);
            let is_wrong = arguments[0] == "check" && *file == other;
            let expected = if is_wrong { 1 } else { 2 };
            assert_eq!(code, Some(expected), "{arguments:?}: {said}");
            assert!(said.starts_with("error: "), "{arguments:?}: {said}");
            assert!(said.contains(file.as_str()), "{arguments:?}: {said}");
            let is_missing = *file == none && !is_boot;
            let why = "No such file or directory";
            assert_eq!(said.contains(why), is_missing, "{arguments:?}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let room = tempfile::tempdir().unwrap();
    let place = room.path().join("none/disk.img");
    let place = place.to_str().unwrap();
    let (said, code) = said(&["image", "--output", place]);
    assert_eq!(code, Some(2));
    let expected = format!(
        "error: cannot write the disk {place}: it has to be a file in a folder that is there: No such file or directory"
    );
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn what_is_wrong_in_a_file_has_its_line_and_the_nearest_name() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("my.toml");
    let file = file.to_str().unwrap();
    for (command, text, line, near) in [
        (
            &["check"][..],
            "mode = \"root\"\n[modules]\nname = [\"a\"]\n",
            "line 3",
            "; close to it: names",
        ),
        (
            &["check"],
            "mode = \"root\"\n\n[emergency]\naction = \"rebot\"\n",
            "line 4",
            "the actions are reboot",
        ),
        (
            &["size", "--budget"],
            "[init]\n[fil.x]\npath = \"x\"\n",
            "line 2",
            "; close to it: file",
        ),
    ] {
        fs::write(file, text).unwrap();
        let (said, _) = said(&[command, &[file]].concat());
        for part in [file, line, near] {
            assert!(said.contains(part), "no {part} in {said}");
        }
    }
}

#[test]
fn errors_are_coloured_on_terminals_that_want_it() {
    let on_a_terminal = |variable| {
        let (seen, code) = on_a_terminal("list /nowhere", &[variable]);
        assert_eq!(code, Some(2));
        seen
    };
    let coloured = on_a_terminal(("TERM", "xterm"));
    assert!(
        is_styled(&coloured) && coloured.contains("cannot read /nowhere"),
        "{coloured:?}"
    );
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_a_terminal(variable);
        assert!(
            !is_styled(&plain) && plain.starts_with("error: "),
            "{plain:?}"
        );
    }
}
