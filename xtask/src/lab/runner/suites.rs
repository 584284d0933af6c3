//! The tests of the workspace: built by cargo, listed by their own programs, and each run as a process of its own, which has times of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Done;
use crate::lab::{paths, tools};

/// A test, and how to run it.
#[derive(Clone, Debug)]
pub struct Test {
    /// The suite's name and, behind a blank, its own within the suite.
    pub name: String,
    /// Runs with `--all` only.
    pub is_slow: bool,
    program: PathBuf,
    folder: PathBuf,
}

/// A program with tests, as cargo tells of it.
#[derive(PartialEq, Eq, Debug)]
struct Program {
    suite: String,
    path: PathBuf,
    /// Of the package: where cargo runs tests.
    folder: PathBuf,
}

/// Builds all programs with tests, and asks each what it has.
pub fn build() -> Result<Vec<Test>> {
    let mut cargo = Command::new(paths::cargo());
    cargo.args(["test", "--workspace", "--no-run", "--quiet"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let output = cargo
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo could not build the tests; its messages stand above");
    }
    let mut tests = Vec::new();
    let mut names = BTreeSet::new();
    for message in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(program) = program(message)? else {
            continue;
        };
        let list = |ignored: &[&str]| -> Result<BTreeSet<String>> {
            let mut list = Command::new(&program.path);
            list.args(["--list", "--format", "terse"]).args(ignored);
            Ok(listed(&tools::capture(list.current_dir(&program.folder))?))
        };
        let slow = list(&["--ignored"])?;
        for own in list(&[])? {
            let name = format!("{} {own}", program.suite);
            ensure!(names.insert(name.clone()), "two tests are called {name}");
            tests.push(Test {
                is_slow: slow.contains(&own),
                program: program.path.clone(),
                folder: program.folder.clone(),
                name,
            });
        }
    }
    Ok(tests)
}

/// The program with tests that a message of cargo's is about, if it is about one.
fn program(message: &str) -> Result<Option<Program>> {
    let message: Value = serde_json::from_str(message).context("cargo's message is damaged")?;
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let Some(path) = message["executable"].as_str().filter(|_| is_test) else {
        return Ok(None);
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let manifest = text(&message["manifest_path"]).context("a program without a package")?;
    let folder = Path::new(&manifest)
        .parent()
        .context("a package without a folder")?;
    Ok(Some(Program {
        suite: text(&message["target"]["name"]).context("a program without a name")?,
        path: path.into(),
        folder: folder.to_owned(),
    }))
}

/// The names in what `--list --format terse` prints.
fn listed(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

impl Test {
    /// What runs it.
    pub fn command(&self) -> Command {
        let own = self.name.split_once(' ').map_or("", |(_, own)| own);
        let mut command = Command::new(&self.program);
        command.args(["--exact", own, "--include-ignored", "--nocapture"]);
        command
            .current_dir(&self.folder)
            .env("CARGO", paths::cargo())
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// The suite in a test's name.
pub fn suite(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Whether a test was run, and passed: a program that knows no test of this name is content, too.
pub fn passed(done: &Done) -> bool {
    done.succeeded && done.output.contains("test result: ok. 1 passed; 0 failed;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn programs_with_tests_among_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/x/xtask/Cargo.toml","target":{"name":"boot"},"profile":{"test":true},"executable":"/x/boot-1"}"#;
        let expected = Program {
            suite: "boot".to_owned(),
            path: "/x/boot-1".into(),
            folder: "/x/xtask".into(),
        };
        assert_eq!(program(message).unwrap(), Some(expected));
        let library = message.replace("\"/x/boot-1\"", "null");
        let program_itself = message.replace("\"test\":true", "\"test\":false");
        for other in [
            library.as_str(),
            &program_itself,
            r#"{"reason":"build-finished"}"#,
        ] {
            assert_eq!(program(other).unwrap(), None);
        }
        assert!(program("{").is_err());
    }

    #[test]
    fn names_that_a_program_lists() {
        let names = listed("a::b: test\nc: test\nd: benchmark\n");
        assert_eq!(names, ["a::b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn a_test_that_did_not_run_has_not_passed() {
        let done = |succeeded, output: &str| Done {
            name: String::new(),
            succeeded,
            output: output.to_owned(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        let one = "test result: ok. 1 passed; 0 failed; 0 ignored";
        assert!(passed(&done(true, one)));
        assert!(!passed(&done(false, one)));
        assert!(!passed(&done(
            true,
            "test result: ok. 0 passed; 0 failed; 0 ignored"
        )));
    }
}
