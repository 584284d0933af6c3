//! uevents: `KEY=VALUE` fields, ended by NUL in netlink messages and by a newline in sysfs `uevent` files.

use crate::text::{after, decimal};

/// The value of `key`, exactly named, in a message or a file; empty if there is none.
pub fn value<'a>(event: &'a [u8], key: &[u8]) -> &'a [u8] {
    event
        .split(|byte| *byte == 0 || *byte == b'\n')
        .find_map(|field| match after(field, key)? {
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether the value of `key` is `wanted`.
pub fn is(event: &[u8], key: &[u8], wanted: &[u8]) -> bool {
    value(event, key) == wanted
}

/// The value of `key` as a number; [`NONE`] if it is none.
pub fn number(event: &[u8], key: &[u8]) -> u64 {
    decimal(value(event, key)).unwrap_or(NONE)
}

/// Whether two messages are about the same block device.
pub fn is_same_device(left: &[u8], right: &[u8]) -> bool {
    value(left, b"DEVNAME") == value(right, b"DEVNAME")
}

/// No number that the kernel gives.
pub const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0ACTION=add\0\
DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0SUBSYSTEM=block\0MAJOR=254\0MINOR=2\0DEVNAME=vda2\0\
DEVTYPE=partition\0DISKSEQ=1\0PARTN=2\0PARTNAME=USR-A\0SEQNUM=1024\0";

    #[test]
    fn fields_of_a_message_and_of_a_file() {
        assert_eq!(value(EVENT, b"ACTION"), b"add");
        assert_eq!(value(EVENT, b"PART"), b"");
        assert_eq!(value(EVENT, b"MODALIAS"), b"");
        assert_eq!(
            value(b"MAJOR=8\nMINOR=0\nPARTNAME=a=b c\n", b"PARTNAME"),
            b"a=b c"
        );
        assert!(is(EVENT, b"SUBSYSTEM", b"block"));
        assert!(!is(EVENT, b"SUBSYSTEM", b"bloc"));
        assert_eq!(number(EVENT, b"PARTN"), 2);
        assert_eq!(number(EVENT, b"PARTNAME"), NONE);
        assert_eq!(number(EVENT, b"X"), NONE);
    }
}
