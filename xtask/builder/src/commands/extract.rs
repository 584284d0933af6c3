//! `cargo xtask extract`: the files of any initrd.

use std::{fs, io::ErrorKind, path::PathBuf};

use anyhow::{Context, Result, ensure};

use super::print;
use crate::{Verdict, archive::read, look::extract::Tree, message, uki};

#[derive(clap::Args)]
pub struct Args {
    /// The initrd, whoever made it, or a unified kernel image
    initrd: PathBuf,
    /// Where to put the files
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Put them there even if there are others, which are replaced
    #[arg(long)]
    force: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let out = args.out.display();
    let is_empty = match fs::read_dir(&args.out) {
        Ok(mut files) => files.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot write to {out}")),
    };
    ensure!(
        is_empty || args.force,
        "{out} has files in it: take another folder, or --force"
    );
    let file = read(&args.initrd)?;
    let tree = uki::initrd(&file).and_then(|(_, initrd)| Tree::of(initrd));
    let tree = tree.with_context(|| format!("cannot extract {}", args.initrd.display()))?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {out}"))?;
    let is_root = rustix::process::geteuid().is_root();
    let written = tree.write(&args.out, is_root)?;
    for refused in &tree.refused {
        message::error(format_args!("refused: {refused}"));
    }
    if !written.skipped.is_empty() {
        let devices = written.skipped.join(", ");
        message::warning(format_args!(
            "skipped, because only root can make devices: {devices}"
        ));
    }
    if !is_root {
        message::warning("all files are yours, because only root can give them to others");
    }
    print(format_args!("{out}: {} files and folders\n", written.count))?;
    Ok(match tree.refused.is_empty() {
        true => Verdict::Pass,
        false => Verdict::Fail,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Args, Verdict, run};
    use crate::archive::cpio::{Entry, pack};

    #[test]
    fn what_is_there_is_left_alone_and_a_refusal_fails() {
        let room = tempfile::tempdir().unwrap();
        let (initrd, out) = (room.path().join("initrd"), room.path().join("out"));
        let extract = |entries: &[Entry], force| {
            fs::write(&initrd, pack(entries).unwrap()).unwrap();
            run(Args {
                initrd: initrd.clone(),
                out: out.clone(),
                force,
            })
        };
        let good = [Entry::file("a", 0o644, b"1".to_vec())];
        let bad = [
            Entry::file("../above", 0o644, Vec::new()),
            Entry::file("a", 0o644, b"2".to_vec()),
        ];
        assert_eq!(extract(&good, false).unwrap(), Verdict::Pass);
        let error = extract(&good, false).unwrap_err().to_string();
        assert!(error.contains("has files in it"), "{error}");
        assert_eq!(extract(&bad, true).unwrap(), Verdict::Fail);
        assert_eq!(fs::read(out.join("a")).unwrap(), b"2");
        assert!(!room.path().join("above").exists());
        fs::write(&initrd, "text").unwrap();
        let error = run(Args {
            initrd,
            out,
            force: true,
        });
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("initrd: no initrd at offset 0"), "{error}");
    }
}
