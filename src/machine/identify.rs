//! What a block device is: the one place that opens a device in order to find that out.

use crate::sys::files::{self, File, open_formatted};
use crate::sys::partitions;
use rustix::fs::OFlags;
use toehold::format::filesystem;
use toehold::format::gpt::Table;
use toehold::format::uevent::{Key, NONE, number, value};
use toehold::spec::{Facts, Needs};
use toehold::text::Line;

/// More partitions than the kernel shows of a disk.
const MAX_PARTITIONS: u32 = 256;

/// Reads of a device what is needed, and adds it to the facts. `table` is the one that was read
/// last: it is read again only if this device is on another disk. Returns whether there was
/// anything to be read: a device without a medium cannot be opened.
pub fn identify(table: &mut Table, needs: Needs, facts: &mut Facts) -> bool {
    let mut disk = Line::new();
    let mut device = facts.event;
    let partition = number(device, Key::PARTN);
    if let Needs::Partition { .. } = needs {
        if partition == NONE {
            return false;
        }
        let path = value(device, Key::DEVPATH);
        let _ = files::read(&mut disk, b"/sys%/../uevent", &[path]);
        device = &disk;
    }
    let name = value(device, Key::DEVNAME);
    let Ok(file) = open_formatted(b"/dev/%", &[name], OFlags::RDONLY) else {
        return false;
    };
    if needs == Needs::Superblock {
        filesystem::describe(&file, &mut facts.read);
    } else {
        // Without a number, nothing says that it is the disk that was read last.
        let sequence = number(device, Key::DISKSEQ);
        if table.disk != sequence || sequence == NONE {
            table.disk = sequence;
            table.read(&file, file.geometry());
        }
        match needs {
            Needs::Partition { shift } => {
                let number = (partition as u32).wrapping_sub(shift);
                table.describe(&file, number, &mut facts.read);
            }
            _ => reveal(table, file),
        }
    }
    file.close();
    true
}

/// Makes the kernel show the partitions that it does not show by itself: a disk whose primary table
/// is damaged comes without.
fn reveal(table: &mut Table, disk: File) {
    if table.is_hidden() {
        for number in 1..MAX_PARTITIONS {
            if let Some((start, length)) = table.partition(&disk, number) {
                // Fails where the kernel did so by itself (its option `gpt`).
                let _ = partitions::add(disk, number, start, length);
            }
        }
    }
}
