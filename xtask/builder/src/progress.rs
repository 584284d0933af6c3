//! Long work made visible on a terminal: a spinner, without colours; elsewhere nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work under way.
pub struct Step {
    message: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

/// Announces work that takes more than a moment.
pub fn step(message: impl Into<String>) -> Step {
    let message = message.into();
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner().with_message(message.clone());
        let template = "{spinner} {msg} ({elapsed})";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    Step {
        message,
        started: Instant::now(),
        bar,
    }
}

impl Step {
    /// Replaces what is being done at the moment, on a terminal only.
    pub fn now(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// The work came to its end.
    pub fn done(self) {
        if let Some(bar) = self.bar {
            let seconds = self.started.elapsed().as_secs_f32();
            bar.finish_and_clear();
            eprintln!("{} ({seconds:.1} s)", self.message);
        }
    }
}
