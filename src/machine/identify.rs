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

/// Reads of a device what is needed, and adds it to the facts. `table` is that of its disk, once it
/// was read. Of a device without a medium there is nothing to be read.
pub fn identify(table: &mut Table, needs: Needs, facts: &mut Facts) {
    let mut disk = Line::new();
    let mut device = facts.event;
    let partition = number(device, Key::PARTN);
    if let Needs::Partition { .. } = needs {
        if partition == NONE {
            return;
        }
        let path = value(device, Key::DEVPATH);
        let _ = files::read(&mut disk, b"/sys%/../uevent", &[path]);
        device = &disk;
    }
    let name = value(device, Key::DEVNAME);
    // No tray is closed, and no door locked.
    let flags = OFlags::RDONLY.union(OFlags::NONBLOCK);
    let Ok(file) = open_formatted(b"/dev/%", &[name], flags) else {
        return;
    };
    if needs == Needs::Superblock {
        return filesystem::describe(&file, &mut facts.read);
    }
    if !table.is_read() {
        table.read(&file, file.geometry());
    }
    if let Needs::Partition { shift } = needs {
        let number = (partition as u32).wrapping_sub(shift);
        table.describe(&file, number, &mut facts.read);
    } else {
        reveal(table, file);
    }
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
