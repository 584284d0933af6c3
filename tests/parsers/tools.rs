//! Real tools run by tests: a missing one fails the test, naming the package that has it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Runs a program of a Debian package and returns its standard output.
pub fn run<A: AsRef<OsStr>>(package: &str, program: &str, arguments: &[A]) -> String {
    let output = output(package, program, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{}",
        output.status,
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn output<A: AsRef<OsStr>>(package: &str, program: &str, arguments: &[A]) -> Output {
    // A user's PATH may lack the folders for administrators.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program}: {error}; install it with: apt-get install {package}")
        })
}

/// What stands behind `name` at the start of one of the lines, without blanks around it.
pub fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix(name))
        .unwrap_or_else(|| panic!("no `{name}` in:\n{text}"))
        .trim()
}

/// What blkid finds on an image, as udev takes it: `TYPE`, `UUID`, `LABEL`.
pub fn blkid(image: &str) -> BTreeMap<&'static str, String> {
    let arguments = ["--probe", "--output", "udev", image];
    let output = output("util-linux", "blkid", &arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    // Its code for an image that has nothing.
    assert!(
        output.status.success() || output.status.code() == Some(2),
        "blkid: {text}"
    );
    let tags = [
        ("TYPE", "ID_FS_TYPE="),
        ("UUID", "ID_FS_UUID="),
        ("LABEL", "ID_FS_LABEL_ENC="),
    ];
    let tags = tags.into_iter().filter_map(|(tag, name)| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some((tag, unescape(value)))
    });
    tags.collect()
}

/// Undoes `\xHH`.
pub fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}
