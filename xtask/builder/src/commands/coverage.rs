//! `cargo xtask coverage`: which drivers and hardware an initrd lost and gained against an earlier one.

use std::{
    collections::HashSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::commands::print;
use crate::{
    Verdict,
    archive::read as read_file,
    initrd::manifest::Manifest,
    kernel::catalogue::folded,
    look::coverage::{Missing, difference},
};

/// Aliases shown of each driver, unless all are asked for.
const SHOWN: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Manifest of the earlier initrd (`cargo xtask initrd -o OUT` writes OUT.json)
    #[arg(value_name = "OLD.json")]
    old: PathBuf,
    /// Manifest of the later one
    #[arg(value_name = "NEW.json")]
    new: PathBuf,
    /// A driver that may be lost, or drive less; can be given several times
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Show every alias, not a few of each driver
    #[arg(long)]
    all: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let (lost, gained) = (difference(&old, &new), difference(&new, &old));
    let allowed: HashSet<String> = args.allow.iter().map(|name| folded(name)).collect();
    let allows = |missing: &Missing| allowed.contains(&folded(&missing.name));
    let shown = if args.all { usize::MAX } else { SHOWN };

    let mut text = format!("{} -> {}\n", old.release, new.release);
    list(&mut text, "lost", &lost.missing, shown, &allows);
    list(&mut text, "gained", &gained.missing, shown, &|_| false);
    for (title, names) in [
        ("built in now", &lost.built_in),
        ("a module now", &gained.built_in),
        ("needed by nothing any more", &lost.not_needed),
        ("come along as dependencies", &gained.not_needed),
    ] {
        if !names.is_empty() {
            let _ = writeln!(text, "{title}: {}", names.join(", "));
        }
    }
    let names: HashSet<String> = lost.missing.iter().map(|lost| folded(&lost.name)).collect();
    for name in args
        .allow
        .iter()
        .filter(|name| !names.contains(&folded(name)))
    {
        let _ = writeln!(text, "--allow {name}: it has lost nothing");
    }
    print(&text)?;
    Ok(match lost.missing.iter().all(allows) {
        true => Verdict::Pass,
        false => Verdict::Fail,
    })
}

fn read(path: &Path) -> Result<Manifest> {
    serde_json::from_slice(&read_file(path)?).with_context(|| {
        format!(
            "{} is no manifest of this version's `cargo xtask initrd`",
            path.display()
        )
    })
}

fn list(
    text: &mut String,
    title: &str,
    missing: &[Missing],
    shown: usize,
    allows: &dyn Fn(&Missing) -> bool,
) {
    let drivers = missing.iter().filter(|missing| missing.driver).count();
    let aliases: usize = missing.iter().map(|missing| missing.aliases.len()).sum();
    let _ = writeln!(
        text,
        "{title}: {}, {}",
        counted(drivers, "driver", "drivers"),
        counted(aliases, "hardware alias", "hardware aliases")
    );
    for missing in missing {
        let aliases = counted(missing.aliases.len(), "alias", "aliases");
        let what = match (missing.driver, missing.aliases.is_empty()) {
            (true, true) => "the driver".to_owned(),
            (true, false) => format!("the driver, {aliases}"),
            (false, _) => aliases,
        };
        let allowed = if allows(missing) { " (allowed)" } else { "" };
        let _ = writeln!(text, "  {:<24}{what}{allowed}", missing.name);
        for alias in missing.aliases.iter().take(shown) {
            let _ = writeln!(text, "      {alias}");
        }
        if missing.aliases.len() > shown {
            let _ = writeln!(text, "      and {} more", missing.aliases.len() - shown);
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::Verdict;
    use crate::look::coverage::tests::manifest;
    use std::fs;

    #[test]
    fn a_loss_fails_unless_it_is_allowed() {
        let room = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = room.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let both = manifest(&[("a-b", &["pci:v1*"], &[]), ("c", &[], &[])], &[], &[]);
        let one = manifest(&[("c", &[], &[])], &[], &[]);
        let both = write("both", &serde_json::to_string(&both).unwrap());
        let one = write("one", &serde_json::to_string(&one).unwrap());
        let broken = write("broken", "{}");
        let run = |old, new, allow: &[&str]| {
            run(Args {
                old,
                new,
                allow: allow.iter().map(|name| (*name).to_owned()).collect(),
                all: false,
            })
        };
        assert_eq!(run(both.clone(), one.clone(), &[]).unwrap(), Verdict::Fail);
        assert_eq!(
            run(both.clone(), one.clone(), &["c"]).unwrap(),
            Verdict::Fail
        );
        assert_eq!(
            run(both.clone(), one.clone(), &["a_b"]).unwrap(),
            Verdict::Pass
        );
        assert_eq!(run(one, both.clone(), &[]).unwrap(), Verdict::Pass);
        let error = format!("{:#}", run(both, broken, &[]).unwrap_err());
        assert!(error.contains("broken is no manifest"), "{error}");
    }
}
