//! `cargo xtask size`: what the init and the initrds weigh, against the budget.

use std::path::PathBuf;

use anyhow::Result;

use super::build;
use crate::{
    Verdict,
    arch::Arch,
    initrd::Request,
    kernels, paths,
    size::{
        Init, Initrd, Weight,
        budget::Budget,
        report::{Report, Style},
    },
};

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
    /// The limits to hold
    #[arg(long, value_name = "FILE", default_value_os_t = paths::root().join("size-budget.toml"))]
    budget: PathBuf,
    /// Measure initrds with these modules instead of those of the budget's kernels
    #[arg(long, value_name = "DIR")]
    modules_dir: Option<PathBuf>,
    /// Pack whole initrds too, modules and all, which takes a minute
    #[arg(long)]
    full: bool,
}

pub fn run(args: Args) -> Result<Verdict> {
    let budget = Budget::read(&args.budget)?;
    let arch = Arch::X86_64;
    let init = build::init(arch, &[])?;
    let mut with = Vec::new();
    let each = build::FEATURES.iter().map(std::slice::from_ref);
    for features in each.chain([&build::FEATURES[..]]) {
        let name = features.join(", ");
        with.push(Weight::read(&name, &build::init(arch, features)?)?);
    }
    let mut report = Report {
        init: Init::weigh("init", &init)?,
        aarch64: Init::weigh("init for aarch64", &build::init(Arch::Aarch64, &[])?)?,
        with,
        initrds: Vec::new(),
        checks: Vec::new(),
    };
    for init in [&report.init, &report.aarch64] {
        report.checks.extend(budget.check_init(init));
    }
    for (profile, entry) in &budget.initrd {
        let modules_dir = match &args.modules_dir {
            Some(directory) => directory.clone(),
            None => kernels::fetch(entry.kernel)?.modules_dir,
        };
        let path = paths::root().join(format!("xtask/profiles/{profile}.toml"));
        let init = build::init_for(arch, &path)?;
        let request = Request::new(&modules_dir, path, init);
        let initrd = Initrd::weigh(profile, &request, args.full)?;
        report.checks.extend(budget.check_initrd(&initrd));
        report.initrds.push(initrd);
    }
    match (args.json, args.markdown) {
        (true, _) => println!("{}", serde_json::to_string_pretty(&report)?),
        (_, true) => print!("{}", report.text(Style::Markdown)),
        _ => print!("{}", report.text(Style::Plain)),
    }
    let overruns = report.overruns();
    eprint!("{overruns}");
    Ok(if overruns.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    })
}
