//! The disks of a machine: which controller each hangs on, what of it cannot be read, and what QEMU has to be told for that.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::slow::Slow;

/// How a disk is attached, and with that which drivers the guest needs for it.
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
    /// /dev/sda, on an xHCI controller that takes disks while the machine runs
    Usb,
    /// /dev/mmcblk0; the file's length has to be a power of two
    SdCard,
}

/// A disk of a machine. Unless it is [`kept`](Self::kept) it is never written: what the guest writes is thrown away.
#[derive(Clone, Debug)]
pub struct Drive {
    /// A raw image; several drives can show the same one.
    pub file: PathBuf,
    pub interface: Interface,
    /// Left out until [`Running::plug`](super::Running::plug) puts it in.
    pub unplugged: bool,
    /// The place at which firmware tries to start from it, the lowest first; absent for behind all that have one.
    pub boot_index: Option<u32>,
    /// Bytes of a logical sector; ATA disks and SD cards have 512 only.
    pub sector: u64,
    /// Bytes of the disk that cannot be read, in steps of 512: every request that touches them fails. Each step makes QEMU slower:
    /// where it is about [`ALL`] of them, say so.
    pub unreadable: Option<Range<u64>>,
    /// What of it is read late.
    pub slow: Option<Slow>,
    /// What the guest writes stays in the file.
    pub kept: bool,
}

impl Drive {
    /// A drive that is there from the start.
    pub fn new(file: PathBuf, interface: Interface) -> Self {
        Self {
            file,
            interface,
            unplugged: false,
            boot_index: None,
            sector: 512,
            unreadable: None,
            slow: None,
            kept: false,
        }
    }

    /// What `-drive` and the monitor's `drive_add` are told of the drive of this number.
    pub(super) fn medium(&self, number: usize) -> Result<String> {
        let file = self.file.to_str();
        let file = file
            .context("the disk's path is not UTF-8")?
            .replace(',', ",,");
        let snapshot = if self.kept { "off" } else { "on" };
        let mut text = format!("if=none,id=disk{number},format=raw,snapshot={snapshot},");
        if let Some(slow) = &self.slow {
            let socket = slow.socket.to_str();
            let socket = socket.context("the socket's path is not UTF-8")?;
            text += &format!("file.driver=nbd,file.server.type=unix,file.server.path={socket}");
            return Ok(text);
        }
        let Some(unreadable) = &self.unreadable else {
            text += &format!("file={file}");
            return Ok(text);
        };
        text += &format!("file.driver=blkdebug,file.image.driver=file,file.image.filename={file}");
        // Without a sector, a rule is about all of them.
        let sectors = match unreadable {
            all if *all == ALL => vec![None],
            some => (some.start / SECTOR..some.end.div_ceil(SECTOR))
                .map(Some)
                .collect(),
        };
        for (rule, sector) in sectors.into_iter().enumerate() {
            let rule = format!(",file.inject-error.{rule}.");
            // The event `none` is that the machine starts: from then on, and not only once.
            text += &format!("{rule}event=none{rule}iotype=read{rule}once=off");
            if let Some(sector) = sector {
                text += &format!("{rule}sector={sector}");
            }
        }
        Ok(text)
    }

    /// The device, as `-device` and `device_add` know it, for the drive of this number.
    pub(super) fn device(&self, number: usize) -> String {
        let device = match self.interface {
            Interface::VirtioBlk => "virtio-blk-pci",
            Interface::VirtioScsi => "scsi-hd,bus=scsi.0",
            Interface::Ahci => &format!("ide-hd,bus=ide.{number}"),
            Interface::Nvme => &format!("nvme,serial=toehold{number}"),
            Interface::Usb => "usb-storage,bus=usb.0",
            Interface::SdCard => "sd-card",
        };
        let sector = match self.sector {
            512 => String::new(),
            bytes => format!(",logical_block_size={bytes},physical_block_size={bytes}"),
        };
        let order = self.boot_index.map(|index| format!(",bootindex={index}"));
        format!(
            "{device},id={},drive=disk{number}{sector}{}",
            name(number),
            order.unwrap_or_default()
        )
    }
}

/// QEMU's arguments for drives without a medium.
pub const EMPTY: &[&str] = &[
    "-device",
    "virtio-scsi-pci,id=media",
    "-device",
    "scsi-cd,bus=media.0,id=cd",
    "-device",
    "isa-fdc",
    "-device",
    "floppy,drive-type=144",
];

/// Every byte that there is.
pub const ALL: Range<u64> = 0..u64::MAX;

/// QEMU's unit of everything, whatever the guest sees.
const SECTOR: u64 = 512;

/// The name by which the device of this number can be pulled out.
pub fn name(number: usize) -> String {
    format!("device{number}")
}

impl Interface {
    /// What disks of this kind are plugged into, where the machine has none from the start.
    fn controller(self) -> Option<&'static str> {
        match self {
            Self::VirtioBlk | Self::Ahci | Self::Nvme => None,
            Self::VirtioScsi => Some("virtio-scsi-pci,id=scsi"),
            Self::Usb => Some("qemu-xhci,id=usb"),
            Self::SdCard => Some("sdhci-pci"),
        }
    }

    /// The node of a partition in the guest, where this is its only disk.
    pub fn node(self, partition: u32) -> String {
        match self {
            Self::VirtioBlk => format!("/dev/vda{partition}"),
            Self::VirtioScsi | Self::Ahci | Self::Usb => format!("/dev/sda{partition}"),
            Self::Nvme => format!("/dev/nvme0n1p{partition}"),
            Self::SdCard => format!("/dev/mmcblk0p{partition}"),
        }
    }
}

/// QEMU's arguments for all drives: one controller of each kind that is needed, and the devices that are plugged in.
pub fn arguments(drives: &[Drive]) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    let mut option = |name: &str, value: String| {
        arguments.extend([name.to_owned(), value]);
    };
    let mut controllers = Vec::new();
    for (number, drive) in drives.iter().enumerate() {
        option("-drive", drive.medium(number)?);
        if let Some(controller) = drive.interface.controller()
            && !controllers.contains(&controller)
        {
            controllers.push(controller);
            option("-device", controller.to_owned());
        }
        if !drive.unplugged {
            option("-device", drive.device(number));
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_controller_for_two_disks_and_none_for_what_is_left_out() {
        let mut drives = [Interface::VirtioScsi, Interface::VirtioScsi]
            .map(|interface| Drive::new("a,b.img".into(), interface));
        drives[1].unplugged = true;
        assert_eq!(
            arguments(&drives).unwrap(),
            [
                "-drive",
                "if=none,id=disk0,format=raw,snapshot=on,file=a,,b.img",
                "-device",
                "virtio-scsi-pci,id=scsi",
                "-device",
                "scsi-hd,bus=scsi.0,id=device0,drive=disk0",
                "-drive",
                "if=none,id=disk1,format=raw,snapshot=on,file=a,,b.img",
            ]
        );
        assert_eq!(
            drives[1].device(1),
            "scsi-hd,bus=scsi.0,id=device1,drive=disk1"
        );
    }

    #[test]
    fn sectors_that_are_large_or_cannot_be_read() {
        let drive = Drive {
            sector: 4096,
            unreadable: Some(1024..2048),
            ..Drive::new("a.img".into(), Interface::VirtioBlk)
        };
        assert_eq!(
            drive.device(0),
            "virtio-blk-pci,id=device0,drive=disk0,logical_block_size=4096,physical_block_size=4096"
        );
        let medium = drive.medium(0).unwrap();
        let rules: Vec<&str> = medium
            .split(',')
            .filter(|option| option.contains(".sector="))
            .collect();
        assert_eq!(
            rules,
            [
                "file.inject-error.0.sector=2",
                "file.inject-error.1.sector=3"
            ]
        );
    }
}
