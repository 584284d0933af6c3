//! Disks that take their time: a server has their bytes, and answers late where it is asked for some of them.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Drive;
use crate::lab::tools;

/// What of a disk is slow.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Every request that touches one of these bytes …
    pub bytes: Range<u64>,
    /// … takes so long.
    pub seconds: u32,
    /// Where the server listens, for QEMU.
    pub socket: PathBuf,
}

/// A server that runs; dropping it ends it.
pub struct Server(Child);

impl Server {
    /// Serves a drive's file; `None` if nothing of it is slow.
    ///
    /// # Errors
    ///
    /// If nbdkit is not there, or does not start within ten seconds.
    pub fn start(drive: &Drive) -> Result<Option<Self>> {
        let Some(slow) = &drive.slow else {
            return Ok(None);
        };
        let length = fs::metadata(&drive.file)?.len();
        let started = slow.socket.with_extension("pid");
        let (from, to) = (slow.bytes.start, slow.bytes.end.min(length));
        // nbdkit-eval-plugin(3): $3 is a count of bytes, $4 where they begin.
        let read = format!(
            "if [ $4 -lt {to} ] && [ $(($4 + $3)) -gt {from} ]; then sleep {}; fi; \
             exec dd if='{}' iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64k status=none",
            slow.seconds,
            drive.file.display()
        );
        let mut command = tools::ends_with_this_process()?;
        command.arg(tools::NBDKIT.command()?.get_program());
        command.args(["--foreground", "--readonly", "--threads", "64", "--unix"]);
        command.arg(&slow.socket).arg("--pidfile").arg(&started);
        command.args(["eval", "thread_model=echo parallel"]);
        command.arg(format!("get_size=echo {length}"));
        command.arg(format!("pread={read}"));
        let mut server = Self(command.stdin(Stdio::null()).spawn().context("nbdkit")?);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !started.exists() {
            if let Some(status) = server.0.try_wait()? {
                bail!("nbdkit for {}: {status}", drive.file.display());
            }
            if Instant::now() > deadline {
                bail!("nbdkit for {} does not start", drive.file.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
