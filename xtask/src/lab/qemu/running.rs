//! A running machine: its console followed, disks put in, and its end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Map;
use tempfile::TempDir;
use toehold_stage2::Report;

use super::drives::{self, Drive};
use super::qmp::Qmp;
use super::slow::Server;
use crate::lab::console::{self, Log};
use crate::lab::spent;

/// Lines of the console in a message about what it has not shown.
const TAIL: usize = 60;

/// A machine that was started; dropping it ends it.
pub struct Running {
    pub(super) child: Child,
    pub(super) lines: Receiver<String>,
    pub(super) log: Log,
    pub(super) deadline: Instant,
    pub(super) drives: Vec<Drive>,
    /// Those of drives that are slow.
    pub(super) _servers: Vec<Option<Server>>,
    pub(super) room: TempDir,
    pub(super) _span: spent::Span,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a machine ended.
#[derive(Debug)]
pub struct Outcome {
    pub log: Log,
    /// What stage 2 reported, if it came to that.
    pub report: Option<Report>,
    /// All that came on the line that stage 2 reports on.
    pub said: String,
    /// The machine did not end by itself.
    pub timed_out: bool,
}

impl Running {
    /// Follows the console up to a line that contains `text`.
    ///
    /// # Errors
    ///
    /// If the machine ends before, or its time does: that, and what the console has shown last.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let why = loop {
            match self.next() {
                Ok(line) => {
                    let found = line.contains(text);
                    self.log.lines.push(line);
                    if found {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break "the machine ended",
                Err(RecvTimeoutError::Timeout) => break "the machine's time was over",
            }
        };
        bail!(
            "no \"{text}\" before {why}; the console ended with\n{}",
            self.tail(TAIL)
        )
    }

    /// Takes in what the console has shown meanwhile.
    pub fn catch_up(&mut self) {
        self.log.lines.extend(self.lines.try_iter());
    }

    /// What the console has shown so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The last lines of it.
    pub fn tail(&self, lines: usize) -> String {
        self.log.tail(lines)
    }

    /// Types on the console.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let input = self
            .child
            .stdin
            .as_mut()
            .context("QEMU has no standard input")?;
        input.write_all(text.as_bytes())?;
        Ok(input.flush()?)
    }

    fn next(&self) -> Result<String, RecvTimeoutError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left)
    }

    /// A connection to QEMU's control socket.
    pub(super) fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.room.path().join("qmp"))
    }

    /// Puts in the disk of this number in [`Machine::drives`](super::Machine::drives), which is
    /// [`Drive::unplugged`] or was pulled out.
    pub fn plug(&mut self, number: usize) -> Result<()> {
        let mut qmp = self.qmp()?;
        let drive = self.drives.get_mut(number).context("no such drive")?;
        // A device that was pulled out took its drive with it.
        if !std::mem::replace(&mut drive.unplugged, false) {
            qmp.add_drive(&drive.medium(number)?)?;
        }
        qmp.add_device(&drive.device(number))
    }

    /// Pulls out the disk of this number, which has to be on a controller that admits of it.
    pub fn unplug(&self, number: usize) -> Result<()> {
        let mut qmp = self.qmp()?;
        let name = drives::name(number);
        qmp.execute(
            "device_del",
            Map::from_iter([("id".to_owned(), name.into())]),
        )?;
        Ok(())
    }

    /// Opens the tray of the CD drive of [`Machine::empty_drives`](super::Machine::empty_drives).
    pub fn open_tray(&self) -> Result<()> {
        let mut qmp = self.qmp()?;
        let id = ("id".to_owned(), "cd".into());
        qmp.execute("blockdev-open-tray", Map::from_iter([id]))?;
        Ok(())
    }

    /// Whether that tray is open.
    pub fn is_tray_open(&self) -> Result<bool> {
        let mut qmp = self.qmp()?;
        let drives = qmp.execute("query-block", Map::new())?;
        let mut drives = drives.as_array().into_iter().flatten();
        let cd = drives.find(|drive| drive["qdev"] == "cd");
        let cd = cd.context("there is no CD drive")?;
        cd["tray_open"].as_bool().context("it has no tray")
    }

    /// Waits until the machine ends by itself, or ends it when its time is over.
    pub fn finish(mut self) -> Result<Outcome> {
        let timed_out = loop {
            match self.next() {
                Ok(line) => self.log.lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if timed_out {
            self.child.kill().context("cannot end QEMU")?;
        }
        let status = self.child.wait()?;
        if !timed_out && !status.success() {
            let errors = fs::read_to_string(self.room.path().join("stderr")).unwrap_or_default();
            bail!("QEMU failed: {status}\n{}", errors.trim());
        }
        let said = fs::read(self.room.path().join("report")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        // UEFI firmware writes to this serial line before the kernel does.
        let report = said.lines().rfind(|line| line.starts_with('{'));
        let report = report.map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("stage 2's report is damaged: {line}"))
        });
        Ok(Outcome {
            log: std::mem::take(&mut self.log),
            report: report.transpose()?,
            said,
            timed_out,
        })
    }
}

/// Reads a console's lines as they come, into a file and onto this terminal as well where that is asked for.
pub(super) fn follow(output: ChildStdout, mut log: Option<File>, echo: bool) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            if let Some(log) = &mut log {
                let _ = log.write_all(&line);
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if echo {
                // Whoever reads it may have seen enough; the machine goes on.
                let _ = writeln!(std::io::stdout(), "{}", console::plain(&text));
            }
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    lines
}
