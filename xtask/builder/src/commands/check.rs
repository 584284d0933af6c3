//! `cargo xtask check`: what is wrong with a profile, without building anything.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::print;
use crate::{
    Verdict,
    archive::read,
    initrd::{Decision, kernel_config},
    kernel::catalogue::Catalogue,
    message,
    profile::Profile,
    shipped::Source,
};

#[derive(clap::Args)]
pub struct Args {
    /// A profile's file, or the name of a ready profile, as `flatcar`
    profile: PathBuf,
    /// The modules of a kernel that it is for: …/lib/modules/<release>
    #[arg(long, value_name = "DIR")]
    modules_dir: Option<PathBuf>,
}

/// Checks; `source` has the ready profiles.
pub fn run(args: Args, source: &dyn Source) -> Result<Verdict> {
    let file = source.profile(&args.profile)?;
    // What cannot be read is not wrong.
    read(&file)?;
    let catalogue = args.modules_dir.as_deref().map(Catalogue::read);
    match check(&file, catalogue.transpose()?.as_ref()) {
        Ok(text) => {
            print(format_args!("{}: {text}\n", file.display()))?;
            Ok(Verdict::Pass)
        }
        Err(error) => {
            message::error(format_args!("{error:#}"));
            Ok(Verdict::Fail)
        }
    }
}

/// What is good about it.
fn check(file: &Path, catalogue: Option<&Catalogue>) -> Result<String> {
    let profile = Profile::read(file)?;
    profile.extra_files(file)?;
    let Some(catalogue) = catalogue else {
        return Ok(
            "nothing is wrong; --modules-dir tells whether a kernel has its modules".to_owned(),
        );
    };
    let config = kernel_config(None, &catalogue.directory)?;
    let decision = Decision::make(catalogue, &profile, config.as_ref(), None)?;
    for warning in &decision.selection.warnings {
        message::warning(warning);
    }
    Ok(format!(
        "nothing is wrong; {} modules of {}",
        decision.selection.modules.len(),
        catalogue.release()?
    ))
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::{Verdict, arch::Arch, shipped::Source};
    use anyhow::{Result, bail};
    use std::{fs, path::PathBuf};

    struct Nowhere;

    impl Source for Nowhere {
        fn profiles(&self) -> PathBuf {
            "/nowhere".into()
        }

        fn init(&self, _: Arch) -> Result<PathBuf> {
            bail!("no init is needed")
        }
    }

    #[test]
    fn good_wrong_and_unreadable() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("my.toml");
        let check = |text: &str, modules_dir: Option<&str>| {
            fs::write(&file, text).unwrap();
            let modules_dir = modules_dir.map(|folder| room.path().join(folder));
            let profile = file.clone();
            run(
                Args {
                    profile,
                    modules_dir,
                },
                &Nowhere,
            )
        };
        let good = "mode = \"root\"\n";
        assert_eq!(check(good, None).unwrap(), Verdict::Pass);
        for wrong in [
            "mode = \"boot\"",
            "mode = \"root\"\n[emergency]\nextra_files = { \"/bin/sh\" = \"none\" }",
            "mode = \"root\"\n[cmdline]\nlocked = true",
            "mode = ",
        ] {
            assert_eq!(check(wrong, None).unwrap(), Verdict::Fail, "{wrong}");
        }
        let error = check(good, Some("lib/modules/1.2.3")).unwrap_err();
        assert!(
            format!("{error:#}").contains("lib/modules/1.2.3"),
            "{error:#}"
        );
        let profile = room.path().join("none.toml");
        let modules_dir = None;
        assert!(
            run(
                Args {
                    profile,
                    modules_dir
                },
                &Nowhere
            )
            .is_err()
        );
    }
}
