//! A virtual machine: starts QEMU, follows its console, fetches stage 2's report, and never outlives its deadline.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::lab::console::Log;
use crate::lab::{spent, tools};
use builder::arch::Arch;

mod drives;
pub mod firmware;
mod keyboard;
mod qmp;
mod running;
mod second;
mod slow;

pub use drives::{ALL, Drive, Interface};
use firmware::Variables;
pub use keyboard::Keyboard;
pub use running::{Outcome, Running};
pub use second::Second;
pub use slow::Slow;

/// Where a machine's kernel comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// QEMU loads these files.
    Files {
        vmlinuz: PathBuf,
        initrd: PathBuf,
        /// Kernel command line; the console's words are added before it.
        append: String,
    },
    /// The machine's firmware finds it on a drive, and there is a command line with it.
    Drive,
}

/// Linux 6.12 crashes at random where QEMU 7.2 emulates cmpxchg16b. Where strings are said to be fast, the kernel copies and clears byte by byte,
/// which takes an emulator a twentieth of a boot.
const PROCESSOR: &str = "max,-cx16,-erms,-fsrm";

/// How long a machine may run. It only keeps one that hangs from doing so for ever: a boot takes seconds, and many times as long where others keep
/// the processors busy.
const TIMEOUT: Duration = Duration::from_secs(400);

/// A machine to start. Disks are never written: what the guest writes is thrown away.
#[derive(Clone, Debug)]
pub struct Machine {
    pub arch: Arch,
    pub kernel: Source,
    pub drives: Vec<Drive>,
    /// Boots through UEFI, with these variables, which it may change; absent for QEMU's BIOS.
    pub firmware: Option<Variables>,
    /// With a screen; absent for neither.
    pub keyboard: Option<Keyboard>,
    /// A virtio console beside the serial one.
    pub second_console: bool,
    /// A floppy drive and a CD drive with nothing in them.
    pub empty_drives: bool,
    /// The kernel as [`Kernel::unpacked`](crate::lab::kernels::Kernel::unpacked) has it. With it the machine lacks the controllers that nothing hangs
    /// on, and the kernel does not test its own cryptography: a fifth less to emulate. Firmware and a screen need the kernel that ships, and get it.
    pub unpacked: Option<PathBuf>,
    pub cpus: u32,
    /// The guest's clock counts instructions, a nanosecond each: equal boots take equally long, whatever else this machine does.
    pub counts_instructions: bool,
    /// In MiB.
    pub memory: u32,
    pub timeout: Duration,
    /// Where to keep the console's output, too.
    pub log: Option<PathBuf>,
    /// Show the console's output as it comes.
    pub echo: bool,
}

/// A kernel command line with what a machine needs before it. `panic=-1`: a panic ends the machine at once. `tsc=reliable`: where this machine is
/// busy, the kernel would find that its clocks disagree and patch itself for another one while it runs, which QEMU's emulation of several
/// processors does not always survive (`Oops: int3` in `sched_clock_cpu`). `no_timer_check`: there, the kernel would find that its timer does not tick
/// within ten ticks' time, and panic (`IO-APIC + timer doesn't work`).
pub fn command_line(arch: Arch, words: &str) -> String {
    let machine = match arch {
        Arch::X86_64 => "console=ttyS0 tsc=reliable no_timer_check",
        Arch::Aarch64 => "console=ttyAMA0",
    };
    format!("{machine} printk.time=1 panic=-1 {words}")
}

impl Machine {
    /// A machine with two processors, 1 GiB of memory and a virtio disk.
    pub fn new(vmlinuz: PathBuf, initrd: PathBuf, disk: PathBuf, append: String) -> Self {
        let kernel = Source::Files {
            vmlinuz,
            initrd,
            append,
        };
        Self::with(kernel, None, disk)
    }

    /// A machine like that whose firmware finds kernel, initrd and command line on the disk.
    pub fn from_disk(firmware: Variables, disk: PathBuf) -> Self {
        Self::with(Source::Drive, Some(firmware), disk)
    }

    fn with(kernel: Source, firmware: Option<Variables>, disk: PathBuf) -> Self {
        Self {
            arch: Arch::X86_64,
            kernel,
            drives: vec![Drive::new(disk, Interface::VirtioBlk)],
            firmware,
            keyboard: None,
            second_console: false,
            empty_drives: false,
            unpacked: None,
            cpus: 2,
            counts_instructions: false,
            memory: 1024,
            timeout: TIMEOUT,
            log: None,
            echo: false,
        }
    }

    /// The command without its console. Software emulation always: /dev/kvm may be there and not work.
    fn command(&self) -> Result<Command> {
        let tool = match self.arch {
            Arch::X86_64 => tools::QEMU,
            Arch::Aarch64 => tools::QEMU_ARM,
        };
        let mut qemu = tools::ends_with_this_process()?;
        qemu.arg(tool.command()?.get_program());
        qemu.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        let (machine, processor) = match (self.arch, self.keyboard) {
            (Arch::X86_64, Some(Keyboard::Usb)) => ("q35,i8042=off", PROCESSOR),
            (Arch::X86_64, _) if self.lean().is_some() => (&*self.lean_machine(), PROCESSOR),
            (Arch::X86_64, _) => ("q35", PROCESSOR),
            // Newer ones have pointers authenticated, which is most of what this emulator does then.
            (Arch::Aarch64, _) => ("virt", "cortex-a72"),
        };
        qemu.args(["-machine", machine, "-accel", "tcg", "-cpu", processor]);
        qemu.args(self.keyboard.map_or(&[][..], Keyboard::arguments));
        qemu.args([
            "-smp",
            &self.cpus.to_string(),
            "-m",
            &self.memory.to_string(),
        ]);
        if self.counts_instructions {
            // Nothing sleeps: where the guest waits, its clock goes on to the next event.
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        if let Source::Files {
            vmlinuz,
            initrd,
            append,
        } = &self.kernel
        {
            qemu.arg("-kernel").arg(self.lean().unwrap_or(vmlinuz));
            qemu.arg("-initrd").arg(initrd);
            let untested = self.lean().map_or("", |_| "cryptomgr.notests ");
            let append = format!("{untested}{append}");
            qemu.arg("-append").arg(command_line(self.arch, &append));
        }
        if let Some(variables) = &self.firmware {
            qemu.args(variables.arguments(self.arch)?);
        }
        qemu.args(drives::arguments(&self.drives)?);
        if self.empty_drives {
            qemu.args(drives::EMPTY);
        }
        Ok(qemu)
    }

    /// The kernel of a lean machine, if it is to be one: see [`Self::unpacked`].
    fn lean(&self) -> Option<&PathBuf> {
        let is_plain = self.firmware.is_none() && self.keyboard.is_none();
        self.unpacked.as_ref().filter(|_| is_plain)
    }

    /// A q35 without what a lean machine leaves out.
    fn lean_machine(&self) -> String {
        let mut machine = "q35,smbus=off,vmport=off,hpet=off,i8042=off".to_owned();
        if self
            .drives
            .iter()
            .all(|drive| drive.interface != Interface::Ahci)
        {
            machine += ",sata=off";
        }
        machine
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

    /// Starts the machine. It ends with the thread that has started it.
    pub fn start(&self) -> Result<Running> {
        let room = tempfile::tempdir()?;
        let socket = room.path().join("qmp");
        let errors = room.path().join("stderr");
        let servers = self.drives.iter().map(slow::Server::start);
        let servers: Vec<_> = servers.collect::<Result<_>>()?;
        let mut qemu = self.command()?;
        qemu.args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ]);
        // The second serial line. The board of aarch64 has one only.
        let report = room.path().join("report");
        qemu.arg("-chardev");
        qemu.arg(format!("file,id=report,path={}", report.display()));
        qemu.args(match self.arch {
            Arch::X86_64 => ["-serial", "chardev:report"],
            Arch::Aarch64 => ["-device", "pci-serial,chardev=report"],
        });
        if self.second_console {
            let socket = room.path().join("second");
            let socket = format!(
                "socket,id=second,path={},server=on,wait=off",
                socket.display()
            );
            qemu.args(["-chardev", &socket, "-device", "virtio-serial-pci"]);
            qemu.args(["-device", "virtconsole,chardev=second"]);
        }
        qemu.arg("-qmp");
        qemu.arg(format!("unix:{},server=on,wait=off", socket.display()));
        let mut child = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("cannot start QEMU")?;
        let output = child.stdout.take().context("QEMU has no standard output")?;
        let log = match &self.log {
            Some(path) => Some(
                File::create(path).with_context(|| format!("cannot create {}", path.display()))?,
            ),
            None => None,
        };
        Ok(Running {
            lines: running::follow(output, log, self.echo),
            child,
            log: Log::default(),
            deadline: Instant::now() + self.timeout,
            drives: self.drives.clone(),
            _servers: servers,
            _span: spent::on("boots"),
            room,
        })
    }

    /// Starts the machine and waits for its end.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.finish()
    }
}
