//! Mount options as fstab writes them, parted into the kernel's flags and the filesystem's own data.
//!
//! Source: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".

use crate::text::{position, push};
use heapless::VecView;
use rustix::mount::MountFlags;

/// Options that are flags; the bit of each stands at the same place in [`BITS`].
const NAMES: &[u8] = b"ro nosuid nodev noexec sync dirsync noatime nodiratime relatime strictatime";
const BITS: [MountFlags; 10] = [
    MountFlags::RDONLY,
    MountFlags::NOSUID,
    MountFlags::NODEV,
    MountFlags::NOEXEC,
    MountFlags::SYNCHRONOUS,
    MountFlags::DIRSYNC,
    MountFlags::NOATIME,
    MountFlags::NODIRATIME,
    MountFlags::RELATIME,
    MountFlags::STRICTATIME,
];

/// Returns the flags and appends everything else, comma separated, to `data`. `rw` takes `ro` back; `defaults` means nothing.
pub fn split(options: &[u8], data: &mut VecView<u8>) -> MountFlags {
    let mut flags = MountFlags::empty();
    for option in options.split(|byte| *byte == b',') {
        match BITS.get(position(NAMES, option)) {
            Some(bit) => flags |= *bit,
            None if option == b"rw" => flags -= MountFlags::RDONLY,
            None if option.is_empty() || option == b"defaults" => {}
            None => add(data, option),
        }
    }
    flags
}

/// Whether a `rescue=` option was given.
pub fn has_rescue(data: &[u8]) -> bool {
    data.split(|byte| *byte == b',')
        .any(|option| option.starts_with(b"rescue="))
}

/// Appends one option to comma-separated mount data.
pub fn add(data: &mut VecView<u8>, option: &[u8]) {
    if !data.is_empty() {
        push(data, b",");
    }
    push(data, option);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;

    #[test]
    fn flags_and_data() {
        for (options, flags, want) in [
            ("ro", MountFlags::RDONLY, ""),
            ("", MountFlags::empty(), ""),
            ("defaults,rw", MountFlags::empty(), ""),
            ("ro,rw", MountFlags::empty(), ""),
            (
                "ro,nodev,subvol=usr,rescue=all",
                MountFlags::RDONLY | MountFlags::NODEV,
                "subvol=usr,rescue=all",
            ),
            ("noatime,,x", MountFlags::NOATIME, "x"),
        ] {
            let mut data = Line::new();
            assert_eq!(split(options.as_bytes(), &mut data), flags, "{options}");
            assert_eq!(data, want.as_bytes(), "{options}");
        }
    }
}
