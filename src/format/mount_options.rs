//! Mount options as fstab writes them, parted into the kernel's flags and the filesystem's own
//! data.
//!
//! Source: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".

use super::glob::{NONE, place_of};
use crate::text::{self, Line, push};
use rustix::mount::MountFlags;
use static_assertions::const_assert;

/// Patterns of options that are not the filesystem's: those of flags first, then those for user
/// space and those that say what the kernel does anyhow.
const NAMES: &[u8] = b"rw ro suid nosuid dev nodev exec noexec async sync dirsync symfollow \
nosymfollow atime noatime diratime nodiratime loud silent norelatime relatime noiversion iversion \
nostrictatime strictatime nolazytime lazytime defaults auto noauto user nouser users owner group \
nofail _netdev x-* X-* comment=*";

/// What each of the first does to the flag of mount(2) whose bit has the letter's place in the
/// alphabet: a capital sets it, a small letter clears it.
const FLAGS: &[u8] = b"aAbBcCdDeEHiIkKlLpPvVxXyYzZ";

const_assert!(MountFlags::RDONLY.bits() == 1);
const_assert!(MountFlags::LAZYTIME.bits() == 1 << (b'Z' - b'A'));

/// Returns the flags of options as fstab has them, and appends what is the filesystem's, comma
/// separated, to `data`. Read only unless `rw` is said; of contrary options the last counts.
pub fn split(options: &[u8], data: &mut Line) -> MountFlags {
    let mut flags = MountFlags::RDONLY.bits();
    for option in text::split(options, b',') {
        let place = place_of(NAMES, option);
        if let Some(letter) = FLAGS.get(place) {
            let bit = 1 << ((letter - 1) & 31);
            flags |= bit;
            if letter & 0x20 != 0 {
                flags ^= bit;
            }
        } else if place == NONE {
            add(data, option);
        }
    }
    MountFlags::from_bits_retain(flags)
}

/// Appends one option to comma-separated mount data.
#[inline(always)] // size: inline
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
        let lazy = MountFlags::LAZYTIME;
        for (options, flags, want) in [
            ("ro", ro, ""),
            ("", ro, ""),
            ("defaults", ro, ""),
            ("rw", MountFlags::empty(), ""),
            ("defaults,rw", MountFlags::empty(), ""),
            ("rw,ro", ro, ""),
            ("ro,nodev,rw", MountFlags::NODEV, ""),
            (
                "ro,nodev,subvol=usr,rescue=all",
                ro | MountFlags::NODEV,
                "subvol=usr,rescue=all",
            ),
            ("noatime,,x", ro | MountFlags::NOATIME, "x"),
            (
                "ro,nofail,x-systemd.device-timeout=0,suid,dev,exec,auto,nouser,async,_netdev",
                ro,
                "",
            ),
            ("user,users,owner,group,noauto,X-a=b,comment=c d", ro, ""),
            ("ro,lazytime", ro | lazy, ""),
            ("lazytime,subvol=a,nolazytime", ro, "subvol=a"),
            ("nosuid,nodev,suid", ro | MountFlags::NODEV, ""),
            ("sync,dirsync,async", ro | MountFlags::DIRSYNC, ""),
            (
                "silent,iversion,loud",
                ro | MountFlags::from_bits_retain(1 << 23),
                "",
            ),
            ("nosymfollow", ro | MountFlags::from_bits_retain(1 << 8), ""),
            (
                "relatime,strictatime",
                ro | MountFlags::RELATIME | MountFlags::STRICTATIME,
                "",
            ),
            ("nodiratime,diratime,atime", ro, ""),
            // What only looks like them is the filesystem's.
            (
                "ros,comments=1,x=1,-,netdev,Aro",
                ro,
                "ros,comments=1,x=1,-,netdev,Aro",
            ),
        ] {
            let mut data = Line::new();
            assert_eq!(split(options.as_bytes(), &mut data), flags, "{options}");
            assert_eq!(data, want.as_bytes(), "{options}");
        }
    }
}
