//! What people see: progress on a terminal, nothing of it in a pipe, and colours only where they are wanted.

mod errors;

use std::process::{Command, Output};

use xtask::lab::tools;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// What asks for colours, or for none. `CI` does, too: whoever shows a CI's output shows them, whatever `TERM` is.
const COLOURS: [&str; 4] = ["CI", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"];

fn undecided(command: &mut Command) -> &mut Command {
    COLOURS
        .iter()
        .fold(command, |command, variable| command.env_remove(variable))
}

/// Runs xtask on a terminal, with this in its environment; returns what is to be seen, and the exit code.
fn on_a_terminal(arguments: &str, variables: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut script = tools::SCRIPT.command().unwrap();
    script.args(["--quiet", "--return", "--command"]);
    script.arg(format!("{XTASK} {arguments}")).arg("/dev/null");
    let script = undecided(&mut script).env("TERM", "xterm");
    let output = script.envs(variables.iter().copied()).output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    (seen, output.status.code())
}

fn in_a_pipe(arguments: &[&str]) -> Output {
    let mut command = Command::new(XTASK);
    undecided(&mut command).args(arguments).output().unwrap()
}

/// Whether text is coloured, bold or underlined: an escape sequence that ends in `m`.
fn is_styled(text: &str) -> bool {
    let sequences = text.split("\x1b[").skip(1);
    let mut ends = sequences.filter_map(|rest| {
        rest.find(|letter: char| letter.is_ascii_alphabetic())
            .map(|at| &rest[at..])
    });
    ends.any(|end| end.starts_with('m'))
}

#[test]
fn no_color_is_honoured() {
    assert!(is_styled(&on_a_terminal("--help", &[]).0));
    let (plain, _) = on_a_terminal("--help", &[("NO_COLOR", "1")]);
    assert!(plain.contains("Usage:") && !is_styled(&plain), "{plain:?}");
    let piped = in_a_pipe(&["--help"]).stdout;
    assert!(!is_styled(&String::from_utf8(piped).unwrap()));
}

/// As with `| head`, which goes away when it has seen enough.
#[test]
fn nobody_has_to_read_to_the_end() {
    let room = tempfile::tempdir().unwrap();
    let path = |name: &str| room.path().join(name).display().to_string();
    let (disk, archive) = (path("disk.img"), path("archive"));
    let entry = builder::archive::cpio::Entry::file("name", 0o644, "text".into());
    std::fs::write(&archive, builder::archive::cpio::pack(&[entry]).unwrap()).unwrap();
    for arguments in [
        &["build"][..],
        &["image", "--output", &disk],
        &["list", &archive],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(XTASK);
        let output = command.args(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (&*said, output.status.code()),
            ("", Some(0)),
            "{arguments:?}"
        );
    }
    assert!(room.path().join("disk.img.json").exists());
}

#[test]
fn progress_is_for_terminals() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("boot.img");
    let budget = room.path().join("budget.toml");
    std::fs::write(&budget, "[file.boot]\npath = \"boot.img\"\n").unwrap();
    let archive = |name: &str| {
        let entry = builder::archive::cpio::Entry::file(name, 0o644, name.into());
        std::fs::write(&file, builder::archive::cpio::pack(&[entry]).unwrap()).unwrap();
    };
    // Each time another one, or what was measured is known.
    let unique = room.path().display();
    let budget = budget.display().to_string();
    archive(&format!("one{unique}"));
    let size = format!("size --budget {budget}");
    let (seen, code) = on_a_terminal(&size, &[("NO_COLOR", "1")]);
    assert_eq!(code, Some(0), "{seen:?}");
    assert!(seen.contains("measuring file.boot"), "{seen:?}");
    assert!(!is_styled(&seen), "{seen:?}");
    archive(&format!("two{unique}"));
    let output = in_a_pipe(&["size", "--budget", &budget]);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
}
