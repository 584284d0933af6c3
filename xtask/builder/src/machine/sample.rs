//! A machine's root for tests: /proc and /sys made in a folder of their own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A root that goes when it is dropped.
pub struct Tree(tempfile::TempDir);

impl Tree {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn file(&self, path: &str, text: &str) -> &Self {
        fs::write(self.path(path), text).unwrap();
        self
    }

    /// A link below /sys, as there: relative to where it lies.
    fn link(&self, path: &str, target: &str) {
        let up = "../".repeat(path.matches('/').count() - 1);
        fs::create_dir_all(self.root().join("sys").join(target)).unwrap();
        symlink(format!("{up}{target}"), self.path(path)).unwrap();
    }

    /// A device with its driver.
    pub fn device(&self, bus: &str, path: &str, modalias: &str, module: &str) -> &Self {
        let name = path.rsplit('/').next().unwrap();
        let device = format!("devices/{path}");
        self.link(&format!("sys/bus/{bus}/devices/{name}"), &device);
        self.file(&format!("sys/{device}/modalias"), &format!("{modalias}\n"));
        let driver = format!("bus/{bus}/drivers/{module}");
        self.link(&format!("sys/{device}/driver"), &driver);
        self.link(&format!("sys/{driver}/module"), &format!("module/{module}"));
        self
    }

    /// A block device with the files that it has, and those that it is made of.
    pub fn block(&self, path: &str, files: &[(&str, &str)], slaves: &[&str]) -> &Self {
        let name = path.rsplit('/').next().unwrap();
        self.link(
            &format!("sys/class/block/{name}"),
            &format!("devices/{path}"),
        );
        for (file, text) in files {
            self.file(&format!("sys/devices/{path}/{file}"), &format!("{text}\n"));
        }
        for slave in slaves {
            let link = format!("sys/devices/{path}/slaves/{slave}");
            self.file(&link, "");
        }
        self
    }

    /// A virtual machine that has verity's /usr on a virtio disk.
    pub fn verity() -> Self {
        let tree = Self::new();
        let hash = "ab".repeat(32);
        tree.file("proc/sys/kernel/osrelease", "6.1.0\n")
            .file("proc/modules", "ext4 1 1 - Live 0x0\ndm_verity 1 1 - Live 0x0\nvirtio_blk 1 1 - Live 0x0\n")
            .file("proc/cmdline", &format!("mount.usr=/dev/mapper/usr verity.usr=PARTLABEL=USR-A verity.usrhash={hash}\n"))
            .file("proc/self/mountinfo", "1 0 0:20 / / rw - tmpfs tmpfs rw\n2 1 254:0 / /usr ro - ext4 /dev/mapper/usr ro\n")
            .file("proc/bus/input/devices", "N: Name=\"k\"\nS: Sysfs=/devices/platform/i8042/serio0/input/input0\nB: KEY=402 fffffffffffffffe\n\n")
            .device("pci", "pci0000:00/0000:00:02.0", "pci:v00001AF4d00001001", "virtio_pci")
            .device("virtio", "pci0000:00/0000:00:02.0/virtio0", "virtio:d00000002v00001AF4", "virtio_blk")
            .device("pci", "pci0000:00/0000:00:03.0", "pci:v00008086d0000100E", "e1000")
            .device("platform", "platform/i8042", "platform:i8042", "i8042")
            .device("serio", "platform/i8042/serio0", "serio:ty06pr00id00ex00", "atkbd")
            .device("pnp", "pnp0/00:04", "acpi:PNP0501:", "serial")
            .file("sys/class/tty/console/active", "ttyS0\n");
        tree.link("sys/class/tty/ttyS0", "devices/pnp0/00:04/tty/ttyS0");
        let disk = "pci0000:00/0000:00:02.0/virtio0/block/vda";
        tree.block(disk, &[("dev", "253:0"), ("size", "16")], &[])
            .block(
                &format!("{disk}/vda2"),
                &[("dev", "253:2"), ("size", "10")],
                &[],
            );
        let mapped = [
            ("dev", "254:0"),
            ("size", "8"),
            ("dm/name", "usr"),
            ("dm/uuid", "CRYPT-VERITY-00-usr"),
        ];
        tree.block("virtual/block/dm-0", &mapped, &["vda2"]);
        let image = format!("hsqs{}", "\0".repeat(4096));
        tree.file("usr/lib/toehold/stage2.img", &image);
        tree
    }
}
