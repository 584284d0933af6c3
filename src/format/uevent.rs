//! uevents: `KEY=VALUE` fields, ended by NUL in netlink messages and by a newline in sysfs `uevent` files.

/// The value of `key`, exactly named, in a message or a file.
pub fn value<'a>(event: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    event
        .split(|byte| *byte == 0 || *byte == b'\n')
        .find_map(|field| field.strip_prefix(key)?.strip_prefix(b"="))
}

/// The name of the disk that a partition's device path lies below, or of the disk itself:
/// `/devices/…/block/vda/vda2` and `/devices/…/block/vda` both give `vda`.
pub fn disk_of(devpath: &[u8]) -> Option<&[u8]> {
    let mut parts = devpath.split(|byte| *byte == b'/');
    parts.find(|part| *part == b"block")?;
    parts.next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0ACTION=add\0\
DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda2\0SUBSYSTEM=block\0MAJOR=254\0MINOR=2\0DEVNAME=vda2\0\
DEVTYPE=partition\0DISKSEQ=1\0PARTN=2\0PARTNAME=USR-A\0SEQNUM=1024\0";

    #[test]
    fn fields_of_a_message_and_of_a_file() {
        assert_eq!(value(EVENT, b"ACTION"), Some(&b"add"[..]));
        assert_eq!(value(EVENT, b"PARTN"), Some(&b"2"[..]));
        assert_eq!(value(EVENT, b"PART"), None);
        assert_eq!(value(EVENT, b"MODALIAS"), None);
        assert_eq!(
            value(b"MAJOR=8\nMINOR=0\nPARTNAME=a=b c\n", b"PARTNAME"),
            Some(&b"a=b c"[..])
        );
        assert_eq!(value(b"PARTNAME=\n", b"PARTNAME"), Some(&b""[..]));
    }

    #[test]
    fn the_disk_of_a_path() {
        assert_eq!(disk_of(b"/devices/x/block/vda/vda2"), Some(&b"vda"[..]));
        assert_eq!(disk_of(b"../../devices/x/nvme/nvme0/nvme0n1"), None);
        assert_eq!(
            disk_of(b"/devices/virtual/block/loop0"),
            Some(&b"loop0"[..])
        );
        assert_eq!(disk_of(b"/devices/x/block/"), None);
    }
}
