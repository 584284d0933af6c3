//! The profile's `[verity]`: where the tree lies, what is pinned, and what happens when a block is not what it should be.

mod check;

use serde::{Deserialize, Deserializer, de};
use toehold::format::plan::Key;

use super::mode::Mode;

/// Parameters that are absent are those of the superblock; without one, dm-verity's usual ones.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Verity {
    /// Name below /dev/mapper; absent for the mode's.
    pub name: Option<String>,
    /// Refuse to boot without a root hash.
    pub required: bool,
    /// The only root hash that is taken, hexadecimal.
    pub root_hash: Option<String>,
    /// Path in the initrd of the root hash's signature (PKCS#7, DER).
    pub root_hash_signature: Option<String>,
    /// Where the superblock lies, or, if there is none, the tree.
    pub hash_offset: HashOffset,
    /// Bytes: where it lies if it is to follow a filesystem whose size cannot be told.
    pub hash_offset_fallback: Option<u64>,
    pub superblock: bool,
    /// Salt after (0, Chrome OS) or before (1) the data.
    pub format: Option<u32>,
    pub data_blocks: Option<u64>,
    /// Bytes.
    pub data_block_size: Option<u32>,
    /// Bytes.
    pub hash_block_size: Option<u32>,
    /// As the kernel's crypto API names it.
    pub algorithm: Option<String>,
    /// Hexadecimal; `-` or nothing for none.
    pub salt: Option<String>,
    /// The superblock's.
    pub uuid: Option<String>,
    /// SPEC of the device with Reed-Solomon codes.
    pub fec_device: Option<String>,
    /// Bytes of each code.
    pub fec_roots: Option<u32>,
    /// Where they begin, in bytes.
    pub fec_offset: Option<u64>,
    pub on_corruption: OnCorruption,
    pub on_error: OnError,
    pub ignore_zero_blocks: bool,
    pub check_at_most_once: bool,
    pub try_verify_in_tasklet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashOffset {
    /// Behind the filesystem: at its size. On a device of its own: at its start.
    Auto,
    /// Bytes from the start of the device, a multiple of 512.
    Bytes(u64),
}

impl HashOffset {
    fn bytes(self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// What the kernel does when a block fails verification after boot.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnCorruption {
    Panic,
    Restart,
    /// An I/O error to the reader.
    Eio,
    /// It logs, and hands the block out.
    Ignore,
}

/// What the kernel does when a block cannot be read.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// An I/O error to the reader.
    Eio,
    Panic,
    Restart,
}

impl Default for Verity {
    fn default() -> Self {
        Self {
            name: None,
            required: false,
            root_hash: None,
            root_hash_signature: None,
            hash_offset: HashOffset::Auto,
            hash_offset_fallback: None,
            superblock: true,
            format: None,
            data_blocks: None,
            data_block_size: None,
            hash_block_size: None,
            algorithm: None,
            salt: None,
            uuid: None,
            fec_device: None,
            fec_roots: None,
            fec_offset: None,
            on_corruption: OnCorruption::Panic,
            on_error: OnError::Eio,
            ignore_zero_blocks: false,
            check_at_most_once: false,
            try_verify_in_tasklet: false,
        }
    }
}

impl<'de> Deserialize<'de> for HashOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Bytes(u64),
            Word(String),
        }
        match Raw::deserialize(deserializer) {
            Ok(Raw::Bytes(bytes)) => Ok(Self::Bytes(bytes)),
            Ok(Raw::Word(word)) if word == "auto" => Ok(Self::Auto),
            _ => Err(de::Error::custom(
                "hash_offset is a number of bytes or \"auto\"",
            )),
        }
    }
}

impl Verity {
    /// The salt's digits, where the profile says anything about it.
    fn salt(&self) -> Option<&str> {
        self.salt
            .as_deref()
            .map(|salt| if salt == "-" { "" } else { salt })
    }

    /// Everything pinned and the policy, as `systemd.verity_usr_options=` would have it.
    pub fn options(&self) -> String {
        let corruption = |policy| self.on_corruption == policy;
        let error = |policy| self.on_error == policy;
        let switches = [
            ("ignore-corruption", corruption(OnCorruption::Ignore)),
            ("restart-on-corruption", corruption(OnCorruption::Restart)),
            ("panic-on-corruption", corruption(OnCorruption::Panic)),
            ("restart-on-error", error(OnError::Restart)),
            ("panic-on-error", error(OnError::Panic)),
            ("ignore-zero-blocks", self.ignore_zero_blocks),
            ("check-at-most-once", self.check_at_most_once),
            ("try-verify-in-tasklet", self.try_verify_in_tasklet),
            ("superblock=no", !self.superblock),
        ];
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let small = |small: Option<u32>| number(small.map(u64::from));
        let salt = self.salt().map(|digits| match digits {
            "" => "-".to_owned(),
            digits => digits.to_lowercase(),
        });
        let values = [
            ("format", small(self.format)),
            ("hash-offset", number(self.hash_offset.bytes())),
            ("data-blocks", number(self.data_blocks)),
            ("data-block-size", small(self.data_block_size)),
            ("hash-block-size", small(self.hash_block_size)),
            ("hash", self.algorithm.clone()),
            ("salt", salt),
            ("uuid", self.uuid.as_deref().map(str::to_lowercase)),
            ("fec-device", self.fec_device.clone()),
            ("fec-roots", small(self.fec_roots)),
            ("fec-offset", number(self.fec_offset)),
            ("root-hash-signature", self.root_hash_signature.clone()),
        ];
        let switches = switches.into_iter().filter(|(_, given)| *given);
        let switches = switches.map(|(name, _)| name.to_owned());
        let values = values
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        switches.chain(values).collect::<Vec<_>>().join(",")
    }

    /// Whether nothing is booted without it.
    pub fn is_required(&self) -> bool {
        self.required || self.root_hash.is_some()
    }

    /// The settings that go into the plan.
    pub fn settings(&self, mode: Mode) -> Vec<(Key, Vec<u8>)> {
        let name = self.name.as_deref().unwrap_or(match mode {
            Mode::Usr => "usr",
            Mode::Root => "root",
        });
        let rule = format!(
            "ACTION!=\"remove\", KERNEL==\"dm-*\", ATTR{{dm/name}}==\"{name}\", ATTR{{dm/uuid}}==\"CRYPT-VERITY-*\", \
             ENV{{DM_UDEV_PRIMARY_SOURCE_FLAG}}=\"1\", OPTIONS+=\"db_persist\"\n"
        );
        let mut settings = vec![
            (Key::VerityName, name.as_bytes().to_vec()),
            (Key::UdevRule, rule.into_bytes()),
        ];
        if self.is_required() {
            settings.push((Key::VerityRequired, Vec::new()));
        }
        settings.push((Key::VerityOptions, self.options().into_bytes()));
        if let Some(bytes) = self.hash_offset_fallback {
            settings.push((Key::HashOffsetFallback, bytes.to_le_bytes().to_vec()));
        }
        if let Some(hash) = &self.root_hash {
            settings.push((Key::RootHash, hash.to_lowercase().into_bytes()));
        }
        settings
    }
}
