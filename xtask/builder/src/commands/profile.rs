//! `cargo xtask profile`: a profile made from the machine that this runs on, or from a folder with a root.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::print;
use crate::{
    Verdict, draft, kernel::catalogue::Catalogue, machine::Machine, message, profile::Profile,
};

#[derive(clap::Args)]
pub struct Args {
    /// The machine's root, with what there is of proc, sys, etc and usr in it
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The kernel's modules: …/lib/modules/<release> [default: in the root, those of the kernel that runs, or the only ones]
    #[arg(long, value_name = "DIR")]
    modules_dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Verdict> {
    let machine = Machine::read(&args.root)?;
    let directory = match args.modules_dir {
        Some(directory) => Some(directory),
        None => modules_dir(&args.root, machine.release.as_deref())?,
    };
    let catalogue = directory.as_deref().map(Catalogue::read).transpose()?;
    let mut notes = Vec::new();
    if catalogue.is_none() {
        let release = machine.release.as_deref().unwrap_or("RELEASE");
        notes.push(format!(
            "what the kernel has: there is no {}; --modules-dir says where its modules are",
            args.root.join("lib/modules").join(release).display()
        ));
    }
    let drawn = draft::draw(&machine, catalogue.as_ref(), notes);
    Profile::parse(&drawn.text).context("what this machine says makes no valid profile")?;
    for note in &drawn.notes {
        message::warning(format_args!("not known: {note}"));
    }
    print(&drawn.text)?;
    Ok(Verdict::Pass)
}

/// The modules of the kernel that runs, or of the only one below the root; none if there are none.
fn modules_dir(root: &Path, release: Option<&str>) -> Result<Option<PathBuf>> {
    for folder in ["lib/modules", "usr/lib/modules"] {
        let folder = root.join(folder);
        if let Some(release) = release {
            let directory = folder.join(release);
            if directory.is_dir() {
                return Ok(Some(directory));
            }
            continue;
        }
        let kernels = kernels(&folder)?;
        match kernels.as_slice() {
            [] => {}
            [kernel] => return Ok(Some(kernel.clone())),
            several => {
                let names = several.iter().filter_map(|kernel| kernel.file_name());
                let names: Vec<String> = names.map(|name| name.display().to_string()).collect();
                bail!(
                    "{} has several kernels' modules: {}; --modules-dir says which to take",
                    folder.display(),
                    names.join(", ")
                );
            }
        }
    }
    Ok(None)
}

/// The folders in one of those, ascending.
fn kernels(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut kernels = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        if path.is_dir() {
            kernels.push(path);
        }
    }
    kernels.sort();
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::{Args, Verdict, modules_dir, run};
    use crate::machine::sample::Tree;
    use std::path::Path;

    #[test]
    fn the_kernel_that_runs_or_the_only_one() {
        let tree = Tree::new();
        let chosen = |release| modules_dir(tree.root(), release);
        assert_eq!(chosen(None).unwrap(), None);
        tree.file("usr/lib/modules/2/kernel/a.ko", "");
        let two = Some(tree.root().join("usr/lib/modules/2"));
        assert_eq!(chosen(None).unwrap(), two);
        tree.file("usr/lib/modules/1/kernel/a.ko", "");
        assert_eq!(chosen(Some("2")).unwrap(), two);
        assert_eq!(chosen(Some("3")).unwrap(), None);
        let error = chosen(None).unwrap_err().to_string();
        assert!(
            error.ends_with("several kernels' modules: 1, 2; --modules-dir says which to take")
        );
    }

    #[test]
    fn what_cannot_be_read() {
        let tree = Tree::verity();
        let of = |modules_dir: Option<&str>| {
            run(Args {
                root: tree.root().to_owned(),
                modules_dir: modules_dir.map(Into::into),
            })
        };
        // Without modules it is made all the same.
        assert_eq!(of(None).unwrap(), Verdict::Pass);
        let error = format!("{:#}", of(Some("/none/1")).unwrap_err());
        assert!(error.contains("/none/1"), "{error}");
        let mapper = Path::new("sys/devices/virtual/block/dm-0/dm");
        tree.file(mapper.join("name").to_str().unwrap(), "a\"b");
        let error = format!("{:#}", of(None).unwrap_err());
        assert!(
            error.contains("verity.name = \"a\"b\" cannot be"),
            "{error}"
        );
    }
}
