//! The profile's `[verity]`: where the tree lies, what is pinned, and what happens when a block is not what it should be.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, de};
use toehold::format::{plan::Key, verity::is_root_hash};

/// Parameters that are absent are those of the superblock; without one, dm-verity's usual ones.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Verity {
    /// Name below /dev/mapper.
    pub name: String,
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
            name: "usr".to_owned(),
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

/// Bytes of the longest salt, and of the longest name of an algorithm that a superblock holds.
const SALT: usize = 256;
const ALGORITHM: usize = 31;
/// Bytes of a block, where nobody says otherwise.
const BLOCK: u32 = 4096;

impl Verity {
    /// Refuses what could not work, or would not do what it seems to say.
    pub fn check(&self) -> Result<()> {
        ensure!(
            !self.name.is_empty() && !self.name.contains('/'),
            "verity.name = \"{}\" cannot be a device-mapper name",
            self.name
        );
        self.check_numbers()?;
        self.check_texts()?;
        if self.fec_device.is_none() {
            for (key, given) in [
                ("fec_roots", self.fec_roots.is_some()),
                ("fec_offset", self.fec_offset.is_some()),
            ] {
                ensure!(
                    !given,
                    "verity.{key} has no meaning without verity.fec_device"
                );
            }
        }
        // What is not pinned is in the superblock, if there is one.
        let default = (!self.superblock).then_some(BLOCK);
        let data = self.data_block_size.or(default);
        let hash = self.hash_block_size.or(default);
        ensure!(
            self.fec_device.is_none() || data.is_none() || hash.is_none() || data == hash,
            "verity.fec_device needs verity.data_block_size and verity.hash_block_size to be the same"
        );
        ensure!(
            self.hash_offset == HashOffset::Auto || self.hash_offset_fallback.is_none(),
            "verity.hash_offset_fallback has a meaning only with verity.hash_offset = \"auto\""
        );
        ensure!(
            self.superblock || self.uuid.is_none(),
            "verity.uuid is what a superblock has; with verity.superblock = false there is none"
        );
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        for (key, size) in [
            ("data_block_size", self.data_block_size),
            ("hash_block_size", self.hash_block_size),
        ] {
            ensure!(
                size.is_none_or(|size| (512..=65536).contains(&size) && size.is_power_of_two()),
                "verity.{key} = {} is not a power of two from 512 to 65536",
                size.unwrap_or_default()
            );
        }
        for (key, offset) in [
            ("hash_offset", self.hash_offset.bytes()),
            ("hash_offset_fallback", self.hash_offset_fallback),
            ("fec_offset", self.fec_offset),
        ] {
            ensure!(
                offset.is_none_or(|offset| offset % 512 == 0),
                "verity.{key} = {} is not a multiple of 512",
                offset.unwrap_or_default()
            );
        }
        if let Some(format) = self.format {
            ensure!(format <= 1, "verity.format = {format}: it is 0 or 1");
        }
        if let Some(roots) = self.fec_roots {
            ensure!(
                (2..=24).contains(&roots),
                "verity.fec_roots = {roots} is not from 2 to 24"
            );
        }
        if let Some(blocks) = self.data_blocks {
            let size = self.data_block_size.unwrap_or(BLOCK).into();
            ensure!(
                blocks > 0 && blocks.checked_mul(size).is_some(),
                "verity.data_blocks = {blocks}: no device has so many"
            );
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<()> {
        if let Some(hash) = &self.root_hash {
            ensure!(
                is_root_hash(hash.as_bytes()),
                "verity.root_hash = \"{hash}\" is not a hash in hexadecimal"
            );
        }
        if let Some(name) = &self.algorithm {
            let allowed =
                |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b',';
            ensure!(
                (1..=ALGORITHM).contains(&name.len()) && name.bytes().all(allowed),
                "verity.algorithm = \"{name}\" cannot be the kernel's name of a hash, as \"sha256\" is"
            );
        }
        if let Some(salt) = self.salt() {
            ensure!(
                salt.len().is_multiple_of(2) && salt.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "verity.salt = \"{salt}\" is not hexadecimal (\"-\" is for none)"
            );
            ensure!(
                salt.len() <= SALT * 2,
                "verity.salt has {} bytes; {SALT} is the most",
                salt.len() / 2
            );
        }
        if let Some(uuid) = &self.uuid {
            uuid::Uuid::try_parse(uuid).with_context(|| format!("verity.uuid = \"{uuid}\""))?;
        }
        for (key, text) in [
            ("fec_device", &self.fec_device),
            ("root_hash_signature", &self.root_hash_signature),
        ] {
            // They stand in a list that commas part.
            let text = text.as_deref().unwrap_or("/");
            ensure!(
                !text.is_empty() && !text.contains([',', '\0']),
                "verity.{key} = \"{text}\" is empty, or has a comma in it"
            );
        }
        if let Some(path) = &self.root_hash_signature {
            ensure!(
                path.starts_with('/'),
                "verity.root_hash_signature = \"{path}\" is not an absolute path in the initrd"
            );
        }
        Ok(())
    }

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

    /// The settings that go into the plan.
    pub fn settings(&self) -> Vec<(Key, Vec<u8>)> {
        let mut settings = vec![(Key::VerityName, self.name.clone().into_bytes())];
        if self.required || self.root_hash.is_some() {
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
