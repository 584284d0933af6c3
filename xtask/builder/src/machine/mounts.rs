//! What is mounted, from mountinfo, or is going to be, from fstab; and which of it is /usr or the root.

use std::{fs, os::unix::fs::FileExt, path::Path};

use anyhow::Result;
use toehold::format::{ReadAt, filesystem as superblock};

use super::{Block, Machine, text};

/// One line of either file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mount {
    pub point: String,
    pub fstype: String,
    /// MAJOR:MINOR, of no block device on btrfs and the like; empty in fstab.
    pub number: String,
    /// A device's path, or what else there is.
    pub source: String,
    /// Options of the filesystem.
    pub options: String,
}

/// The mounts of the process that asks, else those that `etc/fstab` is going to make.
pub fn read(root: &Path) -> Result<Vec<Mount>> {
    if let Some(list) = text(&root.join("proc/self/mountinfo"))? {
        return Ok(list.lines().filter_map(of_mountinfo).collect());
    }
    let list = text(&root.join("etc/fstab"))?.unwrap_or_default();
    Ok(list.lines().filter_map(of_fstab).collect())
}

/// Source: proc_pid_mountinfo(5). Fields before the `-` may grow in number.
fn of_mountinfo(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let mut after = after.split(' ');
    Some(Mount {
        point: plain(before.get(4)?),
        number: (*before.get(2)?).to_owned(),
        fstype: plain(after.next()?),
        source: plain(after.next()?),
        options: plain(after.next().unwrap_or_default()),
    })
}

/// Source: fstab(5).
fn of_fstab(line: &str) -> Option<Mount> {
    let mut fields = line.split_whitespace();
    let source = fields.next().filter(|field| !field.starts_with('#'))?;
    Some(Mount {
        source: plain(source),
        point: plain(fields.next()?),
        fstype: plain(fields.next()?),
        options: plain(fields.next().unwrap_or_default()),
        number: String::new(),
    })
}

/// Blanks and the like stand there as `\` and three octal digits.
fn plain(field: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let [byte, after @ ..] = rest {
        let octal = after
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal.filter(|_| *byte == b'\\') {
            Some(meant) => {
                bytes.push(meant);
                rest = &after[3..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The filesystem in a file, as mount(2) calls it.
pub fn filesystem(file: &fs::File) -> Option<String> {
    struct Image<'a>(&'a fs::File);
    impl ReadAt for Image<'_> {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
            self.0.read_exact_at(buffer, offset).ok()
        }
    }
    let name = superblock::name(&Image(file))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

impl Mount {
    /// Puts a device's own name in place of a link to it, as udev makes them.
    pub(super) fn resolve(&mut self, root: &Path) {
        let Some(below) = self.source.strip_prefix("/dev/") else {
            return;
        };
        let dev = root.join("dev");
        let target = fs::canonicalize(dev.join(below)).ok();
        let target = target
            .as_deref()
            .and_then(|path| path.strip_prefix(dev).ok());
        if let Some(name) = target.and_then(Path::to_str) {
            self.source = format!("/dev/{name}");
        }
    }
}

impl Machine {
    /// The last mount on a place, which hides those before it.
    fn at(&self, point: &str) -> Option<&Mount> {
        self.mounts.iter().rfind(|mount| mount.point == point)
    }

    /// /usr, if it is a filesystem of its own: that of the system, or where an initrd has it.
    pub fn usr(&self) -> Option<&Mount> {
        let points = ["/usr", "/sysusr/usr", "/sysroot/usr"];
        let usr = points.into_iter().find_map(|point| self.at(point))?;
        let root = self.at("/");
        // A part of the root that is mounted once more.
        let is_own = root.is_none_or(|root| usr.number.is_empty() || usr.number != root.number);
        is_own.then_some(usr)
    }

    /// The root, or where an initrd has it.
    pub fn root(&self) -> Option<&Mount> {
        let root = self.at("/").filter(|root| root.fstype != "rootfs");
        self.at("/sysroot").or(root)
    }

    /// What a layer of an overlay is mounted from, of the lowest layer.
    pub fn below<'a>(&'a self, mount: &'a Mount) -> Option<&'a Mount> {
        let mut options = mount.options.split(',');
        let lower = options.find_map(|option| option.strip_prefix("lowerdir="))?;
        self.at(lower.rsplit(':').next()?)
    }

    /// The block device that a filesystem lies on: name and device.
    pub fn block(&self, mount: &Mount) -> Option<(&str, &Block)> {
        let source = mount.source.strip_prefix("/dev/").unwrap_or_default();
        let mapped = source.strip_prefix("mapper/");
        // /sys cannot have a `/` in a name.
        let name = source.replace('/', "!");
        let is_it = |(own, block): &(&String, &Block)| {
            block.number == mount.number
                || **own == name
                || mapped.is_some_and(|mapped| block.is_mapped_as(mapped))
        };
        let found = self.blocks.iter().find(is_it)?;
        Some((found.0, found.1))
    }
}

#[cfg(test)]
mod tests {
    use super::{Mount, of_fstab, of_mountinfo};
    use crate::machine::{Block, Machine};

    fn machine(lines: &[&str]) -> Machine {
        let mounts = lines.iter().filter_map(|line| of_mountinfo(line));
        Machine {
            mounts: mounts.collect(),
            ..Machine::default()
        }
    }

    #[test]
    fn lines_of_both_files() {
        let line = "36 35 98:0 / /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/a\\134b rw,errors=continue";
        let mount = Mount {
            point: "/mnt 2".into(),
            fstype: "ext3".into(),
            number: "98:0".into(),
            source: "/dev/a\\b".into(),
            options: "rw,errors=continue".into(),
        };
        assert_eq!(of_mountinfo(line), Some(mount));
        assert_eq!(of_mountinfo("36 35 98:0"), None);
        let mount = of_fstab("UUID=1 /usr btrfs ro 0 0").unwrap();
        assert_eq!((&*mount.point, &*mount.fstype), ("/usr", "btrfs"));
        assert_eq!(of_fstab("# UUID=1 /usr btrfs"), None);
    }

    #[test]
    fn usr_is_one_of_its_own() {
        let root = "1 0 8:1 / / rw - ext4 /dev/sda1 rw";
        assert_eq!(machine(&[root]).usr(), None);
        assert_eq!(
            machine(&[root, "2 1 8:1 /usr /usr ro - ext4 /dev/sda1 rw"]).usr(),
            None
        );
        let own = machine(&[root, "2 1 8:2 / /sysusr/usr ro - ext4 /dev/sda2 ro"]);
        assert_eq!(own.usr().unwrap().source, "/dev/sda2");
    }

    #[test]
    fn a_device_by_number_or_by_name() {
        let mut machine = machine(&["2 1 0:30 / /usr ro - btrfs /dev/mapper/usr ro"]);
        let block = Block {
            number: "254:0".into(),
            mapper: Some(("usr".into(), "CRYPT-VERITY-1-usr".into())),
            ..Block::default()
        };
        machine.blocks.insert("dm-0".into(), block);
        let mount = machine.usr().unwrap();
        assert_eq!(machine.block(mount).unwrap().0, "dm-0");
        let number = Mount {
            number: "254:0".into(),
            source: "/dev/root".into(),
            ..Mount::default()
        };
        assert_eq!(machine.block(&number).unwrap().0, "dm-0");
        assert!(machine.block(&Mount::default()).is_none());
    }
}
