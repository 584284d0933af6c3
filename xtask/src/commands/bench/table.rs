//! What `cargo xtask bench` prints: a column for each side, and what comes out.

use std::time::Duration;

use anyhow::Result;

use super::{Figures, Side};
use crate::commands::print;
use crate::measure::matcher;
use crate::measure::quiet::DISTURBED;
use crate::measure::summary::milliseconds;

pub fn show(figures: &Figures) -> Result<()> {
    let runs = figures.sides.first().map_or(0, |side| side.boot.len());
    print(format_args!(
        "Linux {}, {} processors, software emulation; medians of {runs}\n\n",
        figures.kernel, figures.cpus,
    ))?;
    let row = |name: &str, of: &dyn Fn(&Side) -> String| {
        let cells: Vec<String> = figures
            .sides
            .iter()
            .map(|side| format!("{:>11}", of(side)))
            .collect();
        print(format_args!("{name:<34}{}\n", cells.concat()))
    };
    let time = |micros| milliseconds(Duration::from_micros(micros));
    row("", &|side| side.name.to_owned())?;
    row("Run /init to stage 2, ms", &|side| time(side.boot_median))?;
    for round in 0..runs {
        row(&format!("  round {}", round + 1), &|side| {
            side.boot.get(round).copied().map_or_else(String::new, time)
        })?;
    }
    row("kernel's entry to stage 2, ms", &|side| {
        time(side.whole_median)
    })?;
    for round in 0..runs {
        row(&format!("  round {}", round + 1), &|side| {
            let whole = side.whole.get(round);
            whole.copied().map_or_else(String::new, time)
        })?;
    }
    row("the kernel's unpacking, ms", &|side| {
        time(side.unpacking_median)
    })?;
    row("others' part of the processors", &|side| {
        let most = side.others.iter().copied().fold(0.0, f64::max);
        format!("{:.0} %", most * 100.0)
    })?;
    row("packed with", &|side| side.compress.clone())?;
    row("initrd, bytes", &|side| side.initrd_bytes.to_string())?;
    row("modules loaded", &|side| side.modules.to_string())?;
    print("\n")?;
    show_verdicts(figures)
}

fn show_verdicts(figures: &Figures) -> Result<()> {
    for ratio in &figures.ratios {
        print(format_args!("{}\n", ratio.text()))?;
    }
    let all = || figures.sides.iter().flat_map(|side| &side.others);
    let disturbed = all().filter(|others| **others >= DISTURBED).count();
    if disturbed > 0 {
        print(format_args!(
            "{disturbed} of {} boots were disturbed by other work on this machine: measure again when it has none\n",
            all().count()
        ))?;
    }
    let matcher = &figures.matcher;
    print(format_args!(
        "Matching the {} modaliases of this machine takes {:.0} µs of the host's processor; {} are allowed. Each of 10,000 takes \
         {:.2} of what each of 1,000 does; {:.2} is allowed\n",
        matcher.modaliases,
        matcher.machine,
        matcher::ALLOWED.as_micros(),
        matcher.growth(),
        matcher::ALLOWED_GROWTH,
    ))
}
