//! QEMU's control socket: one line of JSON each way.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// How long QEMU may take to answer; a busy machine takes seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection that has been greeted.
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot reach QEMU's control socket")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.receive().context("QEMU did not greet")?;
        qmp.execute("qmp_capabilities", Map::new())?;
        Ok(qmp)
    }

    /// Runs one command and returns its answer; events that come between are passed over.
    pub fn execute(&mut self, command: &str, arguments: Map<String, Value>) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}")?;
        loop {
            let mut answer = self
                .receive()
                .with_context(|| format!("QEMU did not answer {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {request}: {error}");
            }
            if let Some(answer) = answer.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    /// The same for a device as `-device` has it, which becomes the arguments `driver` and its options.
    pub fn add_device(&mut self, device: &str) -> Result<()> {
        let (driver, options) = device.split_once(',').context("a device without options")?;
        let options = options
            .split(',')
            .filter_map(|option| option.split_once('='))
            .chain([("driver", driver)])
            .map(|(key, value)| (key.to_owned(), value.into()));
        self.execute("device_add", options.collect())?;
        Ok(())
    }

    /// Adds a drive, as `-drive` has it: no command but the one for people takes its options.
    pub fn add_drive(&mut self, drive: &str) -> Result<()> {
        let line = format!("drive_add 0 {drive}");
        let arguments = Map::from_iter([("command-line".to_owned(), line.into())]);
        let answer = self.execute("human-monitor-command", arguments)?;
        let said = answer.as_str().unwrap_or_default().trim();
        ensure!(said == "OK", "QEMU refused the drive {drive}: {said}");
        Ok(())
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}
