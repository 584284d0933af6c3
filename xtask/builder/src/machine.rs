//! What a machine says of itself in /proc and /sys, or a folder with its root: read once, and data from then on.

mod mounts;
#[cfg(test)]
pub(crate) mod sample;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

pub use mounts::Mount;

use crate::kernel::catalogue::folded;

/// All that a profile can be drawn from. What is absent could not be known.
#[derive(Debug, Default)]
pub struct Machine {
    /// The kernel that runs, as `uname -r` prints it.
    pub release: Option<String>,
    pub cmdline: Option<String>,
    /// Modules that are loaded, by the kernel's names.
    pub loaded: Option<BTreeSet<String>>,
    /// In the order in which they were mounted, or are to be (fstab).
    pub mounts: Vec<Mount>,
    /// What hangs on buses, by path below /sys/devices.
    pub devices: BTreeMap<String, Device>,
    /// Disks, partitions and what is made of them, by name.
    pub blocks: BTreeMap<String, Block>,
    /// Keyboards: paths below /sys/devices.
    pub keyboards: Vec<String>,
    /// Terminals that are the kernel's console: name, and path below /sys/devices.
    pub consoles: Vec<(String, String)>,
    /// Stage-2 images where profiles have them: path below /usr, and what filesystem it is.
    pub images: Vec<(String, Option<String>)>,
}

/// A device of a bus.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub modalias: Option<String>,
    /// The module of the driver that it has, built in or not.
    pub module: Option<String>,
    /// What has to be driven before (clocks, regulators), by path.
    pub suppliers: Vec<String>,
}

/// A block device.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Below /sys/devices; its first parents are what it is a part of.
    pub path: String,
    /// MAJOR:MINOR.
    pub number: String,
    pub bytes: u64,
    /// Name and UUID, of device-mapper's devices.
    pub mapper: Option<(String, String)>,
    /// The block devices that it is made of.
    pub slaves: Vec<String>,
    /// The file that it shows, of a loop device.
    pub backing_file: Option<String>,
    /// What else leads to it, by path: the controllers of an NVMe disk that can have several.
    pub controllers: Vec<String>,
}

/// Where ready profiles have the stage-2 image, below /usr.
const IMAGES: [&str; 2] = ["lib/toehold/stage2.img", "lib/flatcar/bootengine.img"];

/// Command lines that are configured, where none is running: kernel-install's.
const CMDLINES: [&str; 3] = [
    "proc/cmdline",
    "etc/kernel/cmdline",
    "usr/lib/kernel/cmdline",
];

impl Machine {
    /// Reads what there is below `root`, `/` for the machine that this runs on.
    pub fn read(root: &Path) -> Result<Self> {
        // Links of /sys lead to places below it.
        let root = fs::canonicalize(root)
            .with_context(|| format!("cannot read the root {}", root.display()))?;
        ensure!(
            root.is_dir(),
            "the root {} is no folder: give the one with proc, sys and usr in it",
            root.display()
        );
        let sys = Sys(root.join("sys"));
        let mut cmdline = None;
        for path in CMDLINES {
            cmdline = cmdline.or(text(&root.join(path))?);
        }
        let modules = text(&root.join("proc/modules"))?;
        let loaded = |list: String| list.lines().filter_map(first_word).map(folded).collect();
        let inputs = text(&root.join("proc/bus/input/devices"))?;
        let mut machine = Self {
            release: text(&root.join("proc/sys/kernel/osrelease"))?,
            cmdline,
            loaded: modules.map(loaded),
            mounts: mounts::read(&root)?,
            devices: sys.devices(),
            blocks: sys.blocks(),
            keyboards: keyboards(&inputs.unwrap_or_default()),
            consoles: sys.consoles(),
            images: Vec::new(),
        };
        for mount in &mut machine.mounts {
            mount.resolve(&root);
        }
        machine.images = machine.images_below(&root);
        Ok(machine)
    }

    /// The images where /usr is, or is going to be.
    fn images_below(&self, root: &Path) -> Vec<(String, Option<String>)> {
        let usr = self.usr().map_or("/usr", |mount| &mount.point);
        let usr = root.join(usr.trim_start_matches('/'));
        let images = IMAGES.into_iter().filter_map(|path| {
            let file = fs::File::open(usr.join(path)).ok()?;
            let filesystem = mounts::filesystem(&file);
            Some((path.to_owned(), filesystem))
        });
        images.collect()
    }
}

/// /sys.
struct Sys(PathBuf);

impl Sys {
    /// What a link leads to, as a path below /sys/devices.
    fn target(&self, link: &Path) -> Option<String> {
        let target = fs::canonicalize(link).ok()?;
        let below = target.strip_prefix(self.0.join("devices")).ok()?;
        below.to_str().map(str::to_owned)
    }

    fn devices(&self) -> BTreeMap<String, Device> {
        let mut devices = BTreeMap::new();
        for bus in list(&self.0.join("bus")) {
            for link in list(&bus.join("devices")) {
                let Some(path) = self.target(&link) else {
                    continue;
                };
                let module = fs::canonicalize(link.join("driver/module")).ok();
                let suppliers = list(&link)
                    .into_iter()
                    .filter(|entry| name(entry).is_some_and(|name| name.starts_with("supplier:")));
                let device = Device {
                    modalias: value(&link.join("modalias")),
                    module: module.as_deref().and_then(name).map(str::to_owned),
                    suppliers: suppliers
                        .filter_map(|entry| self.target(&entry.join("supplier")))
                        .collect(),
                };
                devices.insert(path, device);
            }
        }
        devices
    }

    fn blocks(&self) -> BTreeMap<String, Block> {
        let mut blocks = BTreeMap::new();
        for link in list(&self.0.join("class/block")) {
            let (Some(name), Some(path)) = (name(&link), self.target(&link)) else {
                continue;
            };
            let sectors = value(&link.join("size")).and_then(|size| size.parse::<u64>().ok());
            let mapper = value(&link.join("dm/name")).zip(value(&link.join("dm/uuid")));
            let slaves = list(&link.join("slaves"));
            let slaves = slaves.iter().filter_map(|slave| self::name(slave));
            let block = Block {
                number: value(&link.join("dev")).unwrap_or_default(),
                bytes: sectors.unwrap_or(0).saturating_mul(512),
                mapper,
                slaves: slaves.map(str::to_owned).collect(),
                backing_file: value(&link.join("loop/backing_file")),
                controllers: self.controllers(&path),
                path,
            };
            blocks.insert(name.to_owned(), block);
        }
        blocks
    }

    /// A disk of NVMe that may have several controllers hangs on none of them, but beside links to them.
    fn controllers(&self, path: &str) -> Vec<String> {
        if !path.starts_with("virtual/nvme-subsystem/") {
            return Vec::new();
        }
        let disk = self.0.join("devices").join(path);
        let folders = disk.ancestors().skip(1).take(2).flat_map(list);
        let links = folders.filter(|entry| entry.is_symlink());
        links
            .filter_map(|link| self.target(&link))
            .filter(|path| !path.starts_with("virtual/"))
            .collect()
    }

    fn consoles(&self) -> Vec<(String, String)> {
        let active = value(&self.0.join("class/tty/console/active")).unwrap_or_default();
        let names = active.split_whitespace();
        let consoles = names.filter_map(|name| {
            let path = self.target(&self.0.join("class/tty").join(name))?;
            Some((name.to_owned(), path))
        });
        consoles.collect()
    }
}

/// The keyboards of /proc/bus/input/devices: what has all of the first keys but `KEY_RESERVED`, as udev tells them from buttons.
fn keyboards(inputs: &str) -> Vec<String> {
    const FIRST_KEYS: u64 = 0xFFFF_FFFE;
    let mut found = Vec::new();
    for input in inputs.split("\n\n") {
        let field = |start: &str| input.lines().find_map(|line| line.strip_prefix(start));
        let keys = field("B: KEY=").and_then(|words| words.split_whitespace().next_back());
        let keys = keys.and_then(|word| u64::from_str_radix(word, 16).ok());
        if keys.is_some_and(|keys| keys & FIRST_KEYS == FIRST_KEYS) {
            let path = field("S: Sysfs=/devices/");
            found.extend(path.map(|path| path.trim_end().to_owned()));
        }
    }
    found
}

/// A file's text without the line's end; absent if the file or its folder is.
fn text(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// A value of /sys, where a device may go or refuse to tell.
fn value(path: &Path) -> Option<String> {
    let text = text(path).ok()??;
    (!text.is_empty()).then_some(text)
}

/// What is in a folder, by name; nothing if it is not there.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::{Machine, keyboards, sample::Tree};
    use std::collections::BTreeSet;

    #[test]
    fn all_that_a_machine_says() {
        let tree = Tree::verity();
        let machine = Machine::read(tree.root()).unwrap();
        assert_eq!(machine.release.as_deref(), Some("6.1.0"));
        let loaded = ["dm_verity", "ext4", "virtio_blk"].map(str::to_owned);
        assert_eq!(machine.loaded, Some(BTreeSet::from(loaded)));
        let virtio = &machine.devices["pci0000:00/0000:00:02.0/virtio0"];
        assert_eq!(virtio.module.as_deref(), Some("virtio_blk"));
        assert_eq!(
            virtio.modalias.as_deref(),
            Some("virtio:d00000002v00001AF4")
        );
        let mapped = &machine.blocks["dm-0"];
        assert_eq!((mapped.number.as_str(), mapped.bytes), ("254:0", 4096));
        assert_eq!(mapped.slaves, ["vda2"]);
        assert_eq!(machine.keyboards, ["platform/i8042/serio0/input/input0"]);
        let console = ("ttyS0".to_owned(), "pnp0/00:04/tty/ttyS0".to_owned());
        assert_eq!(machine.consoles, [console]);
        let image = (
            "lib/toehold/stage2.img".to_owned(),
            Some("squashfs".to_owned()),
        );
        assert_eq!(machine.images, [image]);
    }

    #[test]
    fn an_empty_root_and_none() {
        let room = tempfile::tempdir().unwrap();
        let machine = Machine::read(room.path()).unwrap();
        assert!(machine.release.is_none() && machine.loaded.is_none());
        assert!(machine.mounts.is_empty() && machine.devices.is_empty());
        let error = Machine::read(&room.path().join("none")).unwrap_err();
        let expected = format!("cannot read the root {}/none: ", room.path().display());
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
    }

    #[test]
    fn buttons_are_no_keyboards() {
        let button = "N: Name=\"Power Button\"\nS: Sysfs=/devices/LNXPWRBN:00/input/input1\nB: KEY=10000000000000 0\n";
        let keyboard = "N: Name=\"kbd\"\nS: Sysfs=/devices/usb/input/input2\nB: KEY=402 3803 feffffdfffefffff fffffffffffffffe\n";
        assert_eq!(
            keyboards(&format!("{button}\n{keyboard}\n")),
            ["usb/input/input2"]
        );
    }
}
