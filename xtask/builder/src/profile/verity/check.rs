//! Which values of `[verity]` make sense, and which make sense together.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use toehold::format::verity::is_root_hash;
use toehold::spec::Spec;
use toehold::text::Line;

use super::{HashOffset, Verity};

/// Bytes of the longest salt, and of the longest name of an algorithm that a superblock holds.
const SALT: usize = 256;
const ALGORITHM: usize = 31;
/// Bytes of a block, where nobody says otherwise.
const BLOCK: u32 = 4096;

impl Verity {
    /// Refuses what could not work, or would not do what it seems to say.
    pub fn check(&self) -> Result<()> {
        let name = self.name.as_deref().unwrap_or("-");
        ensure!(
            !name.is_empty()
                && !name.contains(['/', '"', '\\', '*', '?', '[', '|'])
                && !name.contains(char::is_control),
            "verity.name = \"{name}\" cannot be a device-mapper name",
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
        if let Some(device) = &self.fec_device {
            let mut spec = Spec::NONE;
            ensure!(
                spec.read(device.as_bytes()).is_some(),
                "verity.fec_device = \"{device}\" names no device: PARTUUID=, PARTLABEL=, UUID=, LABEL=, /dev/… and \
                 MAJOR:MINOR do"
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

    /// Refuses a signature of which the init would read the beginning only: the kernel would then say that it trusts none of its keys.
    /// `path` is where `file` goes in the initrd, with a `/` before it or not.
    pub fn check_signature(&self, path: &str, file: &Path) -> Result<()> {
        let signature = self.root_hash_signature.as_deref();
        if signature.map(|own| own.trim_start_matches('/')) != Some(path.trim_start_matches('/')) {
            return Ok(());
        }
        let len = fs::metadata(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        let most = Line::new().capacity();
        ensure!(
            len <= most as u64,
            "{}: {len} bytes, and the init takes a root hash's signature of {most} at most: sign without certificates in it \
             (`openssl smime -sign -nocerts -noattr -binary -outform der`)",
            file.display()
        );
        Ok(())
    }
}
