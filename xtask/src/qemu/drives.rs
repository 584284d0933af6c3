//! The disks of a machine: which controller each hangs on, and what QEMU has to be told for that.

use std::path::PathBuf;

use anyhow::{Context, Result};

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

/// A disk of a machine. It is never written: what the guest writes is thrown away.
#[derive(Clone, Debug)]
pub struct Drive {
    /// A raw image; several drives can show the same one.
    pub file: PathBuf,
    pub interface: Interface,
    /// Left out until [`Running::plug`](super::Running::plug) puts it in.
    pub unplugged: bool,
}

impl Drive {
    /// A drive that is there from the start.
    pub fn new(file: PathBuf, interface: Interface) -> Self {
        Self {
            file,
            interface,
            unplugged: false,
        }
    }
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

    /// The device, as `-device` and `device_add` know it, for the drive of this number.
    fn device(self, number: usize) -> String {
        let device = match self {
            Self::VirtioBlk => "virtio-blk-pci",
            Self::VirtioScsi => "scsi-hd,bus=scsi.0",
            Self::Ahci => &format!("ide-hd,bus=ide.{number}"),
            Self::Nvme => &format!("nvme,serial=toehold{number}"),
            Self::Usb => "usb-storage,bus=usb.0",
            Self::SdCard => "sd-card",
        };
        format!("{device},drive=disk{number}")
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
        let file = drive.file.to_str();
        let file = file
            .context("the disk's path is not UTF-8")?
            .replace(',', ",,");
        option(
            "-drive",
            format!("if=none,id=disk{number},format=raw,snapshot=on,file={file}"),
        );
        if let Some(controller) = drive.interface.controller()
            && !controllers.contains(&controller)
        {
            controllers.push(controller);
            option("-device", controller.to_owned());
        }
        if !drive.unplugged {
            option("-device", drive.interface.device(number));
        }
    }
    Ok(arguments)
}

/// The devices that are left out.
pub fn unplugged(drives: &[Drive]) -> Vec<String> {
    drives
        .iter()
        .enumerate()
        .filter(|(_, drive)| drive.unplugged)
        .map(|(number, drive)| drive.interface.device(number))
        .collect()
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
                "scsi-hd,bus=scsi.0,drive=disk0",
                "-drive",
                "if=none,id=disk1,format=raw,snapshot=on,file=a,,b.img",
            ]
        );
        assert_eq!(unplugged(&drives), ["scsi-hd,bus=scsi.0,drive=disk1"]);
    }
}
