//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::failure::Stage;
use crate::format::cmdline;
use crate::format::plan::{Key, Plan};
use crate::format::verity::is_root_hash;
use crate::spec::Spec;
use crate::text::{decimal, position};

/// Words that we take. The first [`SLOTS`] have a slot each; the rest are other names of the same.
const WORDS: &[u8] =
    b"verity.usr verity.usrhash mount.usr mount.usrfstype mount.usrflags rd.earlytimeout \
usr usrfstype usrflags";
const SLOTS: usize = 6;
/// How far an other name's place is from its slot.
const ALIAS: usize = 4;

/// Seconds to wait for a device when nothing else is said.
const TIMEOUT: u64 = 300;

type Text = &'static [u8];

/// Everything that the command line says.
pub struct Options {
    /// The device that holds /usr: the filesystem, or data and hash tree.
    pub device: Spec<'static>,
    /// The same as it was written.
    pub device_text: Text,
    /// Hexadecimal; empty: /usr is mounted without verification.
    pub root_hash: Text,
    /// Type for mount(2), or `auto`: by its superblock.
    pub fstype: Text,
    /// As fstab would have it.
    pub mount_options: Text,
    /// Seconds.
    pub timeout: u64,
}

impl Options {
    /// What is known before the command line was read: nothing.
    pub const NONE: Self = Self {
        device: Spec::Node(b""),
        device_text: b"",
        root_hash: b"",
        fstype: b"auto",
        mount_options: b"ro",
        timeout: TIMEOUT,
    };

    /// Reads the command line, and refuses what would end in booting something unverified that was asked to be verified.
    /// The error is the stage that could not work, and the word that is missing or wrong.
    pub fn read(&mut self, line: Text, plan: &Plan<'static>) -> Result<(), (Stage, Text)> {
        let mut slots: [Option<Text>; SLOTS] = [None; SLOTS];
        for word in cmdline::words(line) {
            let mut place = position(WORDS, word.name);
            if place >= SLOTS {
                place -= ALIAS;
            }
            if let (Some(slot), Some(_)) = (slots.get_mut(place), word.value) {
                *slot = word.value;
            }
        }
        let [verity, root_hash, mount, fstype, flags, timeout] = slots;
        self.device_text = choose(verity, root_hash, mount, plan)?;
        self.device = Spec::parse(self.device_text).ok_or((Stage::Device, self.device_text))?;
        self.root_hash = root_hash.unwrap_or_default();
        self.fstype = fstype.unwrap_or(self.fstype);
        self.mount_options = flags.unwrap_or(self.mount_options);
        if let Some(text) = timeout {
            self.timeout = decimal(text).ok_or((Stage::Device, b"rd.earlytimeout".as_slice()))?;
        }
        Ok(())
    }
}

/// Which device to look for, or the word that is missing or wrong.
fn choose(
    verity: Option<Text>,
    root_hash: Option<Text>,
    mount: Option<Text>,
    plan: &Plan<'static>,
) -> Result<Text, (Stage, Text)> {
    // With verity, only the verified device can be mounted, and without it there is no such device.
    let verified = mount.is_some_and(|device| {
        device.strip_prefix(b"/dev/mapper/") == Some(plan.text(Key::VerityName))
    });
    let asked = verity.is_some() || root_hash.is_some() || verified;
    if !asked && plan.setting(Key::VerityRequired).is_none() {
        return mount.ok_or((Stage::Device, b"mount.usr"));
    }
    if !root_hash.is_some_and(is_root_hash) {
        return Err((Stage::Verity, b"verity.usrhash"));
    }
    if mount.is_some() && !verified {
        return Err((Stage::Verity, b"mount.usr"));
    }
    verity.ok_or((Stage::Verity, b"verity.usr"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::crc32::crc32;
    use crate::format::plan;

    /// A plan with settings and nothing else.
    fn plan_with(extra: &[u8]) -> Plan<'static> {
        let mut settings = Vec::new();
        for (key, value) in [
            (1, "6.1"),
            (2, "usr"),
            (5, ""),
            (6, "/sysusr/usr"),
            (7, "img"),
            (8, ""),
            (9, "/init"),
        ] {
            settings.extend([key, value.len() as u8]);
            settings.extend(value.as_bytes());
        }
        settings.extend(extra);
        let mut rest = vec![0; 8];
        rest.extend(settings);
        let mut file = plan::MAGIC.to_vec();
        file.extend(plan::VERSION.to_le_bytes());
        file.extend((20 + rest.len() as u32).to_le_bytes());
        file.extend(crc32(&rest).to_le_bytes());
        file.extend(rest);
        Plan::parse(file.leak())
            .map_err(|why| format!("{why:?}"))
            .unwrap()
    }

    fn read(line: &'static str, required: bool) -> Result<Options, (Stage, String)> {
        let plan = plan_with(if required {
            &[Key::VerityRequired as u8, 0]
        } else {
            &[]
        });
        let mut options = Options::NONE;
        match options.read(line.as_bytes(), &plan) {
            Ok(()) => Ok(options),
            Err((stage, subject)) => Err((stage, String::from_utf8(subject.to_vec()).unwrap())),
        }
    }

    const HASH: &str = "verity.usrhash=00ff";

    #[test]
    fn verified() {
        for line in [
            "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff",
            "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff mount.usr=/dev/mapper/usr",
            "verity.usr=PARTLABEL=USR-A verity.usrhash=00ff usr=/dev/mapper/usr mount.usrflags=ro",
            "verity.usr=/dev/x verity.usrhash=zz verity.usr=PARTLABEL=USR-A verity.usrhash=00ff",
        ] {
            for required in [false, true] {
                let options = read(line, required).ok().unwrap();
                assert_eq!(options.device_text, b"PARTLABEL=USR-A");
                assert!(matches!(options.device, Spec::Entry(..)));
                assert_eq!(options.root_hash, b"00ff");
                assert_eq!(
                    (options.fstype, options.mount_options, options.timeout),
                    (&b"auto"[..], &b"ro"[..], 300)
                );
            }
        }
    }

    #[test]
    fn never_unverified_when_verification_is_asked_for() {
        for (line, subject) in [
            ("verity.usr=/dev/vda", "verity.usrhash"),
            ("verity.usr=/dev/vda verity.usrhash", "verity.usrhash"),
            ("verity.usr=/dev/vda verity.usrhash=", "verity.usrhash"),
            ("verity.usr=/dev/vda verity.usrhash=00f", "verity.usrhash"),
            ("verity.usr=/dev/vda verity.usrhash=00fg", "verity.usrhash"),
            ("mount.usr=/dev/mapper/usr", "verity.usrhash"),
            (
                "verity.usrhash=00ff mount.usr=/dev/mapper/usr",
                "verity.usr",
            ),
            ("verity.usrhash=00ff", "verity.usr"),
            (
                "verity.usr=/dev/vda verity.usrhash=00ff mount.usr=/dev/vda",
                "mount.usr",
            ),
            (
                "verity.usr=/dev/vda verity.usrhash=00ff usr=/dev/mapper/usr2",
                "mount.usr",
            ),
        ] {
            for required in [false, true] {
                let why = read(line, required).err().unwrap();
                assert_eq!(why, (Stage::Verity, subject.to_string()), "{line}");
            }
        }
        assert_eq!(
            read("mount.usr=/dev/vda", true).err().unwrap().1,
            "verity.usrhash"
        );
        assert_eq!(read("", true).err().unwrap().1, "verity.usrhash");
        assert_eq!(read(HASH, true).err().unwrap().1, "verity.usr");
    }

    #[test]
    fn unverified() {
        let options = read(
            "usr=/dev/vda2 usrfstype=ext4 usrflags=ro,noatime rd.earlytimeout=7",
            false,
        )
        .ok()
        .unwrap();
        assert!(matches!(options.device, Spec::Node(b"vda2")));
        assert_eq!(options.root_hash, b"");
        assert_eq!(
            (options.fstype, options.mount_options),
            (&b"ext4"[..], &b"ro,noatime"[..])
        );
        assert_eq!(options.timeout, 7);
        let options = read(
            "mount.usr=/dev/vda2 usr=/dev/vdb2 mount.usr=/dev/vdc2",
            false,
        )
        .ok()
        .unwrap();
        assert_eq!(options.device_text, b"/dev/vdc2");
    }

    #[test]
    fn refused_words() {
        for (line, subject) in [
            ("", "mount.usr"),
            ("mount.usr=UUID=1", "UUID=1"),
            ("mount.usr=/dev/vda rd.earlytimeout=5m", "rd.earlytimeout"),
        ] {
            assert_eq!(
                read(line, false).err().unwrap(),
                (Stage::Device, subject.to_string())
            );
        }
    }
}
