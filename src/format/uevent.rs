//! uevents: `KEY=VALUE` fields, ended by NUL in netlink messages and by a newline in sysfs `uevent`
//! files.

use crate::text::{Line, after, decimal, split, word};

/// The name of a field: of what a uevent says of a device, or of what was read from the device
/// besides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub struct Key(pub u8);

impl Key {
    pub const ACTION: Self = Self(0);
    pub const SUBSYSTEM: Self = Self(1);
    pub const MODALIAS: Self = Self(2);
    /// The device's place below /sys.
    pub const DEVPATH: Self = Self(3);
    /// Sequence number of the disk.
    pub const DISKSEQ: Self = Self(4);
    /// Number of the partition.
    pub const PARTN: Self = Self(5);
    pub const MINOR: Self = Self(6);
    pub const MAJOR: Self = Self(7);
    pub const DEVNAME: Self = Self(8);
    // The next four are read from disks. They are called as blkid(8) calls them.
    pub const PARTUUID: Self = Self(9);
    pub const PARTLABEL: Self = Self(10);
    pub const UUID: Self = Self(11);
    pub const LABEL: Self = Self(12);
    /// The driver that has taken the device.
    pub const DRIVER: Self = Self(13);
    /// What a child of the init has found that the device is: the number of a role.
    pub const ROLE: Self = Self(14);
}

const KEYS: &[u8] = b"ACTION SUBSYSTEM MODALIAS DEVPATH DISKSEQ PARTN MINOR MAJOR \
DEVNAME PARTUUID PARTLABEL UUID LABEL DRIVER SYNTH_ARG_ROLE";

/// The value of `key` in a message or a file; empty if there is none.
pub fn value(event: &Line, key: Key) -> &[u8] {
    let key = word(KEYS, key.0.into());
    for field in split(event, b'\n') {
        if let Some([b'=', value @ ..]) = after(field, key) {
            return value;
        }
    }
    b""
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
    is(left, Key::DEVNAME, value(right, Key::DEVNAME))
}

/// Stands for a number that is missing; the kernel never gives this one.
pub const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::push;

    const EVENT: &[u8] = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0\
ACTION=add\0DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0\
SUBSYSTEM=block\0MAJOR=254\0MINOR=2\0DEVNAME=vda2\0\
DEVTYPE=partition\0DISKSEQ=1\0PARTN=2\0PARTNAME=USR-A\0SEQNUM=1024\0";

    fn event(text: &[u8]) -> Line {
        let mut event = Line::new();
        push(&mut event, text);
        event
    }

    #[test]
    fn fields_of_a_message_and_of_a_file() {
        let message = event(EVENT);
        assert_eq!(value(&message, Key::ACTION), b"add");
        assert_eq!(value(&message, Key::PARTUUID), b"");
        assert_eq!(value(&message, Key::MODALIAS), b"");
        let file = event(b"MAJOR=8\nMINOR=0\nLABEL=a=b c\nUUIDS=3\n");
        assert_eq!(value(&file, Key::LABEL), b"a=b c");
        assert_eq!(value(&file, Key::UUID), b"");
        assert!(is(&message, Key::SUBSYSTEM, b"block"));
        assert!(!is(&message, Key::SUBSYSTEM, b"bloc"));
        assert_eq!(number(&message, Key::PARTN), 2);
        assert_eq!(number(&message, Key::DEVNAME), NONE);
        assert_eq!(number(&file, Key::PARTN), NONE);
        assert!(is_same_device(&message, &event(b"DEVNAME=vda2")));
        assert!(!is_same_device(&message, &event(b"DEVNAME=vda")));
    }
}
