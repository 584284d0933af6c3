//! A virtual machine: starts QEMU, follows its console, fetches stage 2's report, and never outlives its deadline.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use toehold_stage2::Report;

use crate::console::Log;
use crate::tools;

mod qmp;

use qmp::Qmp;

/// How a disk is attached, and with that which driver the guest needs for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Interface {
    /// /dev/vda
    VirtioBlk,
    /// /dev/sda, on a controller that takes disks while the machine runs
    VirtioScsi,
    /// /dev/sda
    Ahci,
    /// /dev/nvme0n1
    Nvme,
}

/// A machine to start. Disks are never written: what the guest writes is thrown away.
#[derive(Clone, Debug)]
pub struct Machine {
    pub vmlinuz: PathBuf,
    pub initrd: PathBuf,
    /// Kernel command line; the console's words are added before it.
    pub append: String,
    pub disk: PathBuf,
    pub interface: Interface,
    /// Leave the disk out until [`Running::plug`] puts it in.
    pub unplugged: bool,
    /// Put the same disk in a second time.
    pub twin: bool,
    pub cpus: u32,
    /// In MiB.
    pub memory: u32,
    pub timeout: Duration,
    /// Where to keep the console's output, too.
    pub log: Option<PathBuf>,
    /// Show the console's output as it comes.
    pub echo: bool,
}

impl Machine {
    /// A machine with two processors, 1 GiB of memory and a virtio disk.
    pub fn new(vmlinuz: PathBuf, initrd: PathBuf, disk: PathBuf, append: String) -> Self {
        Self {
            vmlinuz,
            initrd,
            append,
            disk,
            interface: Interface::VirtioBlk,
            unplugged: false,
            twin: false,
            cpus: 2,
            memory: 1024,
            timeout: Duration::from_secs(180),
            log: None,
            echo: false,
        }
    }

    /// The command without its console. Software emulation always: /dev/kvm may be there and not work.
    fn command(&self) -> Result<Command> {
        let mut qemu = tools::QEMU.command()?;
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        // Linux 6.12 crashes at random where QEMU 7.2 emulates cmpxchg16b.
        let processor = "max,-cx16";
        qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", processor]);
        qemu.args([
            "-smp",
            &self.cpus.to_string(),
            "-m",
            &self.memory.to_string(),
        ]);
        qemu.arg("-kernel").arg(&self.vmlinuz);
        qemu.arg("-initrd").arg(&self.initrd);
        // panic=-1: a panic ends the machine at once.
        qemu.arg("-append").arg(format!(
            "console=ttyS0 printk.time=1 panic=-1 {}",
            self.append
        ));
        let file = self.disk.to_str().context("the disk's path is not UTF-8")?;
        let file = file.replace(',', ",,");
        qemu.arg("-drive");
        qemu.arg(format!(
            "if=none,id=disk,format=raw,snapshot=on,file={file}"
        ));
        if self.interface == Interface::VirtioScsi {
            qemu.args(["-device", "virtio-scsi-pci,id=scsi"]);
        }
        if !self.unplugged {
            qemu.args(["-device", self.interface.device()]);
        }
        if self.twin {
            qemu.arg("-drive");
            qemu.arg(format!(
                "if=none,id=twin,format=raw,snapshot=on,file={file}"
            ));
            qemu.args(["-device", "virtio-blk-pci,drive=twin"]);
        }
        Ok(qemu)
    }

    /// Runs the machine on this terminal until it ends.
    pub fn interactive(&self) -> Result<()> {
        let mut qemu = self.command()?;
        let log = match &self.log {
            Some(path) => format!(",logfile={}", path.display()),
            None => String::new(),
        };
        qemu.arg("-chardev")
            .arg(format!("stdio,id=console,mux=on,signal=off{log}"));
        qemu.args([
            "-serial",
            "chardev:console",
            "-mon",
            "console",
            "-serial",
            "null",
        ]);
        qemu.status().context("cannot start QEMU")?;
        Ok(())
    }

    /// Starts the machine.
    pub fn start(&self) -> Result<Running> {
        let room = tempfile::tempdir()?;
        let socket = room.path().join("qmp");
        let errors = room.path().join("stderr");
        let mut qemu = self.command()?;
        qemu.args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ]);
        qemu.arg("-serial");
        qemu.arg(format!("file:{}", room.path().join("report").display()));
        qemu.arg("-qmp");
        qemu.arg(format!("unix:{},server=on,wait=off", socket.display()));
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("cannot start QEMU")?;
        let output = child.stdout.take().context("QEMU has no standard output")?;
        let mut log = match &self.log {
            Some(path) => Some(
                File::create(path).with_context(|| format!("cannot create {}", path.display()))?,
            ),
            None => None,
        };
        let echo = self.echo;
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
                    println!("{text}");
                }
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Ok(Running {
            child,
            lines,
            log: Log::default(),
            deadline: Instant::now() + self.timeout,
            interface: self.interface,
            room,
        })
    }

    /// Starts the machine and waits for its end.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.finish()
    }
}

impl Interface {
    fn device(self) -> &'static str {
        match self {
            Self::VirtioBlk => "virtio-blk-pci,drive=disk",
            Self::VirtioScsi => "scsi-hd,bus=scsi.0,drive=disk",
            Self::Ahci => "ide-hd,bus=ide.0,drive=disk",
            Self::Nvme => "nvme,serial=toehold,drive=disk",
        }
    }

    /// The node of a partition in the guest, where this is its only disk.
    pub fn node(self, partition: u32) -> String {
        match self {
            Self::VirtioBlk => format!("/dev/vda{partition}"),
            Self::VirtioScsi | Self::Ahci => format!("/dev/sda{partition}"),
            Self::Nvme => format!("/dev/nvme0n1p{partition}"),
        }
    }
}

/// A machine that was started; dropping it ends it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    log: Log,
    deadline: Instant,
    interface: Interface,
    room: TempDir,
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
    /// The machine did not end by itself.
    pub timed_out: bool,
}

impl Running {
    /// Follows the console up to a line that contains `text`; false if the machine ends before, or its time does.
    pub fn wait_for(&mut self, text: &str) -> bool {
        while let Ok(line) = self.next() {
            let found = line.contains(text);
            self.log.lines.push(line);
            if found {
                return true;
            }
        }
        false
    }

    fn next(&self) -> Result<String, RecvTimeoutError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left)
    }

    /// Puts the disk in that [`Machine::unplugged`] left out.
    pub fn plug(&self) -> Result<()> {
        let mut qmp = Qmp::connect(&self.room.path().join("qmp"))?;
        let (driver, options) = self
            .interface
            .device()
            .split_once(',')
            .context("a device without options")?;
        let mut arguments = serde_json::Map::from_iter([("driver".to_owned(), driver.into())]);
        for (key, value) in options
            .split(',')
            .filter_map(|option| option.split_once('='))
        {
            arguments.insert(key.to_owned(), value.into());
        }
        qmp.execute("device_add", arguments)
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
        let report = fs::read_to_string(self.room.path().join("report")).unwrap_or_default();
        let report = match report.trim() {
            "" => None,
            line => Some(
                serde_json::from_str(line)
                    .with_context(|| format!("stage 2's report is damaged: {line}"))?,
            ),
        };
        Ok(Outcome {
            log: std::mem::take(&mut self.log),
            report,
            timed_out,
        })
    }
}
