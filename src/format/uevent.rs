//! uevents: `KEY=VALUE` fields, ended by NUL in netlink messages and by a newline in sysfs `uevent` files.

use crate::text::{Line, after, decimal, word};

/// What a uevent says of a device, or what is found out about it besides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
pub enum Key {
    Action,
    Subsystem,
    Modalias,
    /// The device's place below /sys.
    Devpath,
    Devtype,
    /// Sequence number of the disk.
    Diskseq,
    /// Number of the partition.
    Partn,
    Minor,
    Major,
    Devname,
    // These as blkid(8) has them.
    Partuuid,
    Partlabel,
    Uuid,
    Label,
}

const KEYS: &[u8] = b"ACTION SUBSYSTEM MODALIAS DEVPATH DEVTYPE DISKSEQ PARTN MINOR MAJOR DEVNAME PARTUUID PARTLABEL UUID LABEL";

/// The value of `key` in a message or a file; empty if there is none.
pub fn value(event: &Line, key: Key) -> &[u8] {
    let key = word(KEYS, key as usize);
    event
        .split(|byte| *byte == 0 || *byte == b'\n')
        .find_map(|field| match after(field, key)? {
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether the value of `key` is `wanted`.
pub fn is(event: &Line, key: Key, wanted: &[u8]) -> bool {
    value(event, key) == wanted
}

/// The value of `key` as a number; [`NONE`] if it is none.
pub fn number(event: &Line, key: Key) -> u64 {
    decimal(value(event, key)).unwrap_or(NONE)
}

/// Whether two messages are about the same block device.
pub fn is_same_device(left: &Line, right: &Line) -> bool {
    is(left, Key::Devname, value(right, Key::Devname))
}

/// No number that the kernel gives.
pub const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::push;

    const EVENT: &[u8] = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0ACTION=add\0\
DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0SUBSYSTEM=block\0MAJOR=254\0MINOR=2\0DEVNAME=vda2\0\
DEVTYPE=partition\0DISKSEQ=1\0PARTN=2\0PARTNAME=USR-A\0SEQNUM=1024\0";

    fn event(text: &[u8]) -> Line {
        let mut event = Line::new();
        push(&mut event, text);
        event
    }

    #[test]
    fn fields_of_a_message_and_of_a_file() {
        let message = event(EVENT);
        assert_eq!(value(&message, Key::Action), b"add");
        assert_eq!(value(&message, Key::Partuuid), b"");
        assert_eq!(value(&message, Key::Modalias), b"");
        let file = event(b"MAJOR=8\nMINOR=0\nLABEL=a=b c\nUUIDS=3\n");
        assert_eq!(value(&file, Key::Label), b"a=b c");
        assert_eq!(value(&file, Key::Uuid), b"");
        assert!(is(&message, Key::Subsystem, b"block"));
        assert!(!is(&message, Key::Subsystem, b"bloc"));
        assert_eq!(number(&message, Key::Partn), 2);
        assert_eq!(number(&message, Key::Devname), NONE);
        assert_eq!(number(&file, Key::Partn), NONE);
        assert!(is_same_device(&message, &event(b"DEVNAME=vda2")));
        assert!(!is_same_device(&message, &event(b"DEVNAME=vda")));
    }
}
