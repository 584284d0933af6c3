//! What the kernel command line and the plan together ask for, decided before anything is touched.

use crate::failure::{Failure, Stage, Step};
use crate::format::cmdline;
use crate::format::plan::{Key, Plan};
use crate::format::verity::is_root_hash;
use crate::spec::Spec;
use crate::text::{decimal, position};
use rustix::io::Errno;

/// Words that we take. The first [`SLOTS`] have a slot each; the rest are other names of the same.
const WORDS: &[u8] =
    b"verity.usr verity.usrhash mount.usr mount.usrfstype mount.usrflags rd.earlytimeout \
usr usrfstype usrflags";
const SLOTS: usize = 6;
/// Slot of the first word behind the slots, and so on.
const ALIASES: usize = 2;

/// Seconds to wait for a device when nothing else is said.
const TIMEOUT: u64 = 300;

type Text = &'static [u8];

/// Everything that the boot is told.
pub struct Options {
    /// The device that holds /usr, with the filesystem or with data and hash tree, and how it was written.
    pub device: Spec<'static>,
    pub device_text: Text,
    /// Hexadecimal; `None`: /usr is mounted without verification.
    pub root_hash: Option<Text>,
    /// Type for mount(2); `None`: by its superblock.
    pub fstype: Option<Text>,
    /// As fstab would have it.
    pub mount_options: Text,
    /// Seconds.
    pub timeout: u64,
    pub settings: Settings,
}

/// The profile's part, see [`Key`].
pub struct Settings {
    pub release: Text,
    pub verity_name: Text,
    /// Byte offset of the superblock; `None`: where the filesystem ends.
    pub hash_offset: Option<u64>,
    pub on_corruption: Text,
    pub mountpoint: Text,
    pub image: Text,
    pub overlay_options: Text,
    pub init: Text,
}

impl Settings {
    /// Reads the settings that every plan has.
    pub fn read(plan: &Plan<'static>) -> Option<Self> {
        let path = |key| plan.setting(key).filter(|path| path.starts_with(b"/"));
        Some(Self {
            release: plan.setting(Key::Release)?,
            verity_name: plan.setting(Key::VerityName)?,
            hash_offset: match plan.setting(Key::HashOffset) {
                Some(bytes) => Some(u64::from_le_bytes(*bytes.first_chunk()?)),
                None => None,
            },
            on_corruption: plan.setting(Key::OnCorruption)?,
            mountpoint: path(Key::Mountpoint)?,
            image: plan.setting(Key::Image)?,
            overlay_options: plan.setting(Key::OverlayOptions)?,
            init: path(Key::Init)?,
        })
    }
}

impl Options {
    /// Reads both, and refuses what would end in booting something unverified that was asked to be verified.
    pub fn read(line: Text, plan: &Plan<'static>) -> Result<Self, Failure> {
        let settings = Settings::read(plan)
            .ok_or(Stage::KernelFs.refused(Step::Plan, crate::format::plan::PATH.as_bytes()))?;
        let mut slots: [Option<Text>; SLOTS] = [None; SLOTS];
        for word in cmdline::words(line) {
            let slot = position(WORDS, word.name)
                .map(|at| if at < SLOTS { at } else { at - SLOTS + ALIASES });
            if let (Some(slot), Some(value)) =
                (slot.and_then(|slot| slots.get_mut(slot)), word.value)
            {
                *slot = Some(value);
            }
        }
        let [verity, root_hash, mount, fstype, flags, timeout] = slots;

        if root_hash.is_none() && (verity.is_some() || plan.setting(Key::VerityRequired).is_some())
            || root_hash.is_some_and(|hash| !is_root_hash(hash))
        {
            return Err(Stage::Verity.refused(Step::Options, b"verity.usrhash"));
        }
        // With verity, only the verified device can be mounted.
        let is_verified = |device: Text| {
            device
                .strip_prefix(b"/dev/mapper/")
                .is_some_and(|name| name == settings.verity_name)
        };
        let wanted = match (root_hash, verity, mount) {
            (Some(_), Some(data), mount) if mount.is_none_or(is_verified) => Ok(data),
            (Some(_), Some(_), _) => Err((Stage::Verity, b"mount.usr".as_slice())),
            (Some(_), None, _) => Err((Stage::Verity, b"verity.usr".as_slice())),
            (None, _, Some(device)) if !is_verified(device) => Ok(device),
            (None, _, Some(_)) => Err((Stage::Verity, b"verity.usrhash".as_slice())),
            (None, _, None) => Err((Stage::Device, b"mount.usr".as_slice())),
        };
        let device_text =
            wanted.map_err(|(stage, subject)| stage.refused(Step::Options, subject))?;
        let device = Spec::parse(device_text).ok_or(Stage::Device.failed(
            Step::Options,
            Errno::INVAL,
            device_text,
        ))?;
        Ok(Self {
            device,
            device_text,
            root_hash,
            fstype: fstype.filter(|name| *name != b"auto"),
            mount_options: flags.unwrap_or(b"ro"),
            timeout: match timeout {
                None => TIMEOUT,
                Some(text) => {
                    decimal(text).ok_or(Stage::Device.refused(Step::Options, b"rd.earlytimeout"))?
                }
            },
            settings,
        })
    }
}
