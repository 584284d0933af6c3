//! `cargo xtask plan`: the module plan as people read it, or what a modalias would load.

use std::path::PathBuf;

use anyhow::{Result, anyhow, ensure};
use toehold::format::plan::{Key, Plan};

use super::print;
use crate::{
    Verdict,
    initrd::{Decision, kernel_config},
    kernel::catalogue::Catalogue,
    look::plan::{loads, lossy, of_initrd, whole},
    profile::Profile,
    shipped::Source,
};

#[derive(clap::Args)]
pub struct Args {
    /// The initrd whose plan to show
    #[arg(required_unless_present = "profile", conflicts_with = "profile")]
    initrd: Option<PathBuf>,
    /// The kernel's modules: with an initrd, to tell what the kernel has that the initrd has not
    #[arg(long, value_name = "DIR")]
    modules_dir: Option<PathBuf>,
    /// Show the plan that this profile would make of the kernel's modules: its file, or the name of a ready one
    #[arg(long, value_name = "PROFILE", requires = "modules_dir")]
    profile: Option<PathBuf>,
    /// Show only what this modalias, alias or module name would load; exit 1 if that is nothing
    #[arg(long, value_name = "STRING")]
    modalias: Option<String>,
}

/// Shows it; `source` has the ready profiles.
pub fn run(args: Args, source: &dyn Source) -> Result<Verdict> {
    let catalogue = match &args.modules_dir {
        Some(modules_dir) => Some(Catalogue::read(modules_dir)?),
        None => None,
    };
    let file = match (&args.initrd, &catalogue, &args.profile) {
        (Some(initrd), ..) => of_initrd(initrd)?,
        (None, Some(catalogue), Some(profile)) => {
            let profile = Profile::read(&source.profile(profile)?)?;
            let config = kernel_config(None, &catalogue.directory)?;
            Decision::make(catalogue, &profile, config.as_ref(), None)?.plan
        }
        _ => unreachable!("clap asks for one of them"),
    };
    let plan =
        Plan::parse(&file).map_err(|refused| anyhow!("the plan is damaged ({refused:?})"))?;
    if let Some(catalogue) = &catalogue {
        let (has, wants) = (catalogue.release()?, lossy(plan.text(Key::Release)));
        ensure!(
            has == wants,
            "the initrd is for Linux {wants}, but {} is Linux {has}'s: give the modules that it was made from",
            catalogue.directory.display()
        );
    }
    let (text, verdict) = match &args.modalias {
        Some(modalias) => loads(&plan, modalias, catalogue.as_ref()),
        None => (whole(&plan, file.len()), Verdict::Pass),
    };
    print(&text)?;
    Ok(verdict)
}
