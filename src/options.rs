//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::failure::Stage;
use crate::format::cmdline;
use crate::format::plan::{Key, Plan};
use crate::format::verity::is_root_hash;
use crate::spec::Spec;
use crate::text::{after, decimal, position, word};

/// Words that we take: first one for each [`Word`], in its order, then other names of the last four but one.
const WORDS: &[u8] =
    b"verity.usr verity.usrhash mount.usr mount.usrfstype mount.usrflags rd.earlytimeout \
usr usrfstype usrflags";
/// How far an other name's place is from its word's.
const ALIAS: usize = 4;

/// The values that the command line can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Word {
    /// SPEC of the device with data and hash tree.
    Verity,
    /// Hexadecimal.
    RootHash,
    /// SPEC of what to mount.
    Mount,
    /// For mount(2), or `auto`.
    Fstype,
    /// As fstab would have them.
    MountOptions,
    /// Seconds to wait for a device.
    Timeout,
}

impl Word {
    /// As it stands on the command line.
    pub fn name(self) -> Text {
        word(WORDS, self as usize)
    }
}

const COUNT: usize = Word::Timeout as usize + 1;

type Text = &'static [u8];

/// Everything that the command line says.
pub struct Options {
    values: [Option<Text>; COUNT],
    /// The device that holds /usr: the filesystem, or data and hash tree.
    pub device: Spec<'static>,
    /// Seconds to wait for it.
    pub timeout: u64,
}

impl Options {
    /// Of an empty command line.
    pub const fn none() -> Self {
        Self {
            values: [None; COUNT],
            device: Spec::none(),
            timeout: 0,
        }
    }

    /// Reads the command line, and refuses what would end in booting something unverified that was asked to be verified.
    /// The error is the word that is missing or wrong, and `stage` the stage that could not work.
    pub fn read(&mut self, line: Text, plan: &Plan, stage: &mut Stage) -> Result<(), Word> {
        for word in cmdline::words(line) {
            let mut place = position(WORDS, word.name);
            if place >= COUNT {
                place -= ALIAS;
            }
            if let (Some(value), Some(_)) = (self.values.get_mut(place), word.value) {
                *value = word.value;
            }
        }
        *stage = Stage::Device;
        self.timeout = decimal(self.value(Word::Timeout, b"300")).ok_or(Word::Timeout)?;
        let word = self.choose(plan, stage)?;
        let device = self.get(word).ok_or(word)?;
        self.device.read(device).ok_or(word)
    }

    fn get(&self, word: Word) -> Option<Text> {
        self.values.get(word as usize).copied().flatten()
    }

    /// What the command line gives for a word, or else the default.
    pub fn value(&self, word: Word, default: Text) -> Text {
        self.get(word).unwrap_or(default)
    }

    /// Which word names the device to look for; or the one that is missing or wrong.
    fn choose(&self, plan: &Plan, stage: &mut Stage) -> Result<Word, Word> {
        let [verity, root_hash, mount, ..] = self.values;
        // With verity, only the verified device can be mounted, and without it there is no such device.
        let verified = mount
            .is_some_and(|device| after(device, b"/dev/mapper/") == plan.setting(Key::VerityName));
        if verity.or(root_hash).is_none()
            && !verified
            && plan.setting(Key::VerityRequired).is_none()
        {
            return Ok(Word::Mount);
        }
        *stage = Stage::Verity;
        if !root_hash.is_some_and(is_root_hash) {
            return Err(Word::RootHash);
        }
        if mount.is_some() && !verified {
            return Err(Word::Mount);
        }
        Ok(Word::Verity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::plan::sample;

    fn read(line: &'static str, required: bool) -> Result<Options, (Stage, String)> {
        let plan = sample::plan(
            b"",
            if required {
                &[Key::VerityRequired as u8, 0]
            } else {
                &[]
            },
        );
        let mut options = Options::none();
        let mut stage = Stage::KernelFs;
        match options.read(line.as_bytes(), &plan, &mut stage) {
            Ok(()) => Ok(options),
            Err(word) => Err((stage, String::from_utf8(word.name().to_vec()).unwrap())),
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
                assert_eq!(options.device.text.unwrap(), b"PARTLABEL=USR-A");
                assert_eq!(options.value(Word::RootHash, b""), b"00ff");
                assert_eq!(options.timeout, 300);
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
        assert_eq!(options.device.text.unwrap(), b"/dev/vda2");
        assert_eq!(options.value(Word::RootHash, b""), b"");
        assert_eq!(options.value(Word::Fstype, b"auto"), b"ext4");
        assert_eq!(options.value(Word::MountOptions, b"ro"), b"ro,noatime");
        assert_eq!(options.timeout, 7);
        let options = read(
            "mount.usr=/dev/vda2 usr=/dev/vdb2 mount.usr=/dev/vdc2",
            false,
        )
        .ok()
        .unwrap();
        assert_eq!(options.device.text.unwrap(), b"/dev/vdc2");
    }

    #[test]
    fn refused_words() {
        for (line, subject) in [
            ("", "mount.usr"),
            ("mount.usr=UUID=1", "mount.usr"),
            ("mount.usr=/dev/vda rd.earlytimeout=5m", "rd.earlytimeout"),
        ] {
            assert_eq!(
                read(line, false).err().unwrap(),
                (Stage::Device, subject.to_string())
            );
        }
    }
}
