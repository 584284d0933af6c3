//! Mount options as fstab writes them, parted into the kernel's flags and the filesystem's own
//! data.
//!
//! Source: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".

use crate::text::{self, Line, position, push};
use rustix::mount::MountFlags;

/// Options that are not the filesystem's; the flags of each stand at the same place in [`BITS`].
const NAMES: &[u8] =
    b"rw ro defaults nosuid nodev noexec sync dirsync noatime nodiratime relatime strictatime";
const BITS: [MountFlags; 12] = [
    // No flag: it takes the flag of `ro` away.
    MountFlags::empty(),
    MountFlags::RDONLY,
    // What the kernel does by default.
    MountFlags::RELATIME,
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

/// Returns the flags and appends everything else, comma separated, to `data`. Read only unless `rw`
/// is said; the last of `ro` and `rw` counts.
pub fn split(options: &[u8], data: &mut Line) -> MountFlags {
    let mut flags = MountFlags::RDONLY;
    for option in text::split(options, b',') {
        match BITS.get(position(NAMES, option)) {
            Some(bits) if bits.is_empty() => flags.remove(MountFlags::RDONLY),
            Some(bits) => flags |= *bits,
            None => add(data, option),
        }
    }
    flags
}

/// Appends one option to comma-separated mount data.
pub fn add(data: &mut Line, option: &[u8]) {
    if !data.is_empty() && !option.is_empty() {
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
        let ro = MountFlags::RDONLY;
        for (options, flags, want) in [
            ("ro", ro, ""),
            ("", ro, ""),
            ("defaults", ro | MountFlags::RELATIME, ""),
            ("rw", MountFlags::empty(), ""),
            ("defaults,rw", MountFlags::RELATIME, ""),
            ("rw,ro", ro, ""),
            ("ro,nodev,rw", MountFlags::NODEV, ""),
            (
                "ro,nodev,subvol=usr,rescue=all",
                ro | MountFlags::NODEV,
                "subvol=usr,rescue=all",
            ),
            ("noatime,,x", ro | MountFlags::NOATIME, "x"),
        ] {
            let mut data = Line::new();
            assert_eq!(split(options.as_bytes(), &mut data), flags, "{options}");
            assert_eq!(data, want.as_bytes(), "{options}");
        }
    }
}
