//! `cargo xtask size`: what everything that ships weighs, against the budget and against what it weighed before.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Verdict;
use crate::lab::{documents, paths};

use crate::measure::size::budget::{Budget, State};
use crate::measure::size::report::Shown;
use crate::measure::size::table::Style;
use crate::measure::size::{Report, diff, measure, treemap};

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON; --schema tells its form
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown for a comment on a pull request
    #[arg(long)]
    markdown: bool,
    /// Print the JSON Schema of what --json prints, and measure nothing
    #[arg(long)]
    schema: bool,
    /// Write a page with treemaps there
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Keep what was measured there, as a baseline for later
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Put the tables of README.md into it
    #[arg(long, conflicts_with_all = ["only", "budget"])]
    readme: bool,
    /// Tell what changed since the report that --save kept there
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The limits to hold
    #[arg(long, value_name = "FILE", default_value_os_t = paths::root().join("size-budget.toml"))]
    budget: PathBuf,
    /// Measure only artifacts whose names begin so, as in `init` or `initrd.flatcar`
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Show the pieces by this, instead of each artifact's first: stage, crate, symbol; folder, rule, file; section
    #[arg(long, value_name = "VIEW")]
    by: Option<String>,
    /// How many pieces to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
}

pub fn run(args: Args) -> Result<Verdict> {
    if args.schema {
        super::print(&(serde_json::to_string_pretty(&schemars::schema_for!(Report))? + "\n"))?;
        return Ok(Verdict::Pass);
    }
    let budget = Budget::read(&args.budget)?;
    let baseline = args.baseline.as_deref().map(Report::read).transpose()?;
    let mut report = measure::measure(&budget, &args.only)?;
    if let Some(mut baseline) = baseline {
        if !args.only.is_empty() {
            baseline
                .artifacts
                .retain(|artifact| report.artifact(&artifact.name).is_some());
        }
        report.changes = diff::changes(&baseline, &report);
    }
    let json = serde_json::to_string_pretty(&report)? + "\n";
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &args.save {
        write(path, &json)?;
    }
    if let Some(path) = &args.html {
        write(path, &treemap::page(&report))?;
    }
    if args.readme {
        documents::update(documents::README, "cargo xtask size", &report.for_readme())?;
    }
    let shown = Shown {
        by: args.by,
        top: args.top,
    };
    super::print(&match (args.json, args.markdown) {
        (true, _) => json,
        (_, true) => report.text(Style::Markdown, &shown),
        _ => report.text(Style::Plain, &shown),
    })?;
    eprint!("{}", report.problems());
    let is_over = report.checks.iter().any(|check| check.state == State::Over);
    Ok(if is_over {
        Verdict::Fail
    } else {
        Verdict::Pass
    })
}
