//! Long work made visible on a terminal: a spinner, without colours; elsewhere nothing.

use std::env;
use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Shown in turn, each for this long.
const MARKS: [char; 4] = ['|', '/', '-', '\\'];
const TURN: Duration = Duration::from_millis(120);

/// To the beginning of the line, and nothing on it (ECMA-48).
const CLEAR: &str = "\r\x1b[K";
/// A line longer than the terminal is wide is cut off, instead of going on in the next one, where
/// nothing would clear it (DECAWM of the VT100).
const CUT: &str = "\x1b[?7l";
/// It goes on again, for all that others write.
const WRAP: &str = "\x1b[?7h";

/// Work under way.
pub struct Step {
    message: String,
    started: Instant,
    spinner: Option<Spinner>,
}

/// A thread that draws, until there is nobody to tell it anything.
struct Spinner {
    messages: Sender<String>,
    thread: JoinHandle<()>,
}

/// Announces work that takes more than a moment.
pub fn step(message: impl Into<String>) -> Step {
    let (message, started) = (message.into(), Instant::now());
    let is_shown = stderr().is_terminal() && env::var_os("TERM").is_none_or(|name| name != "dumb");
    let spinner = is_shown.then(|| {
        let (messages, receiver) = channel();
        let message = message.clone();
        let thread = thread::spawn(move || draw(message, started, &receiver));
        Spinner { messages, thread }
    });
    Step {
        message,
        started,
        spinner,
    }
}

/// Turns the spinner; clears its line in the end. What cannot be written is not missed.
fn draw(mut message: String, started: Instant, messages: &Receiver<String>) {
    for mark in MARKS.iter().cycle() {
        let seconds = started.elapsed().as_secs();
        let line = format!("{CLEAR}{CUT}{mark} {message} ({seconds} s){WRAP}");
        let _ = stderr().write_all(line.as_bytes());
        match messages.recv_timeout(TURN) {
            Ok(other) => message = other,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ = stderr().write_all(CLEAR.as_bytes());
}

impl Step {
    /// Replaces what is being done at the moment, on a terminal only.
    pub fn now(&self, message: &str) {
        if let Some(spinner) = &self.spinner {
            let _ = spinner.messages.send(message.to_owned());
        }
    }

    /// The work came to its end.
    pub fn done(mut self) {
        if self.stop() {
            let seconds = self.started.elapsed().as_secs_f32();
            eprintln!("{} ({seconds:.1} s)", self.message);
        }
    }

    /// Stops the spinner; tells whether there was one.
    fn stop(&mut self) -> bool {
        let Some(Spinner { messages, thread }) = self.spinner.take() else {
            return false;
        };
        drop(messages);
        let _ = thread.join();
        true
    }
}

impl Drop for Step {
    /// Work that failed leaves the line to the error.
    fn drop(&mut self) {
        self.stop();
    }
}
