//! Real tools run by tests: a missing one fails the test, naming the package that has it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Runs a program of a Debian package and returns its standard output.
pub fn run<A: AsRef<OsStr>>(package: &str, program: &str, arguments: &[A]) -> String {
    // A user's PATH may lack the folders for administrators.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program}: {error}; install it with: apt-get install {package}")
        });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{}",
        output.status,
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What stands behind `name` at the start of one of the lines, without blanks around it.
pub fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix(name))
        .unwrap_or_else(|| panic!("no `{name}` in:\n{text}"))
        .trim()
}
