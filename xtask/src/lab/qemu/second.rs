//! A second console, for whoever sits there.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::running::Running;

/// How long a text may take to be shown.
const PATIENCE: Duration = Duration::from_secs(300);

/// The person's end of a virtio console.
pub struct Second {
    stream: UnixStream,
    shown: Vec<u8>,
}

impl Running {
    /// Sits down at the second console of a [`Machine`](super::Machine) that has one.
    pub fn second(&self) -> Result<Second> {
        let stream = UnixStream::connect(self.room.path().join("second"))
            .context("cannot reach the second console")?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Second {
            stream,
            shown: Vec::new(),
        })
    }
}

impl Second {
    /// Types.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    /// Reads until `text` was shown, at the end of a line or not. Gives all that was shown since the last time, up to the end of `text`; nothing if
    /// the machine ended before, or did not show it for minutes.
    pub fn wait_for(&mut self, text: &str) -> Result<Option<String>> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut windows = self.shown.windows(text.len());
            if let Some(place) = windows.position(|window| window == text.as_bytes()) {
                let shown: Vec<u8> = self.shown.drain(..place + text.len()).collect();
                return Ok(Some(String::from_utf8_lossy(&shown).into_owned()));
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => self.shown.extend(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// What was shown since, as far as it was read.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}
