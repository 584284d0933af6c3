//! What a child does that unpacks a group of the module pack: it opens the group's file and locks it, writes the modules, and ends.

use std::ops::Range;

use super::boot::{MODULES, module_of};
use super::record::Traced;
use builder::plan::group_name;
use toehold::failure::push_errno;
use toehold::text::Line;

/// A group of the module pack, taken out of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unpacking {
    pub group: usize,
    /// From when no other process does the same, to the last byte of its modules.
    pub span: Range<u64>,
    /// What it takes in the pack, where that is known.
    pub packed: Option<usize>,
    /// Bytes of the modules that were written: none where another process had done it.
    pub bytes: u64,
    pub error: Option<String>,
}

/// What a process that opens the file of a group unpacks.
pub fn unpacking(calls: &[&Traced]) -> Option<Unpacking> {
    let mut files: Vec<i128> = Vec::new();
    let mut found: Option<Unpacking> = None;
    for Traced { to, call, .. } in calls {
        let Some(unpacking) = &mut found else {
            let path = call.path(1).filter(|_| call.name == "openat");
            found = path.and_then(group_of).map(|group| Unpacking {
                group,
                span: *to..*to,
                packed: None,
                bytes: 0,
                error: None,
            });
            continue;
        };
        match (call.name, call.value()) {
            ("flock", _) => unpacking.span = *to..*to,
            ("openat", Some(file)) if call.path(1).and_then(module_of).is_some() => {
                files.push(file.into());
            }
            ("write", Some(bytes)) if call.number(0).is_some_and(|to| files.contains(&to)) => {
                unpacking.bytes = unpacking.bytes.saturating_add(bytes);
                unpacking.span.end = *to;
            }
            ("exit_group", _) => {
                let code = call.number(0).and_then(|code| usize::try_from(code).ok());
                unpacking.error = code.filter(|code| *code != 0).map(errno);
                // It ends where it fails.
                if unpacking.error.is_some() {
                    unpacking.span.end = *to;
                }
            }
            _ => {}
        }
    }
    found
}

/// An error's name, as the log has it.
fn errno(number: usize) -> String {
    let mut line = Line::new();
    push_errno(&mut line, number);
    String::from_utf8_lossy(&line).into_owned()
}

/// The group of the module pack that a file of that name is for.
fn group_of(path: &str) -> Option<usize> {
    let file = path.strip_prefix(MODULES)?;
    let digits = file.strip_prefix("group_")?;
    let number = digits.parse().ok()?;
    (group_name(number) == file).then_some(number)
}
