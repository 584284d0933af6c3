//! `[verity]` of a drawn profile: what the command line says of it, as far as it is not about one image only.

use std::fmt::Write as _;

use toehold::format::verity::{Parameter, Parameters};

use super::{Target, plain, quoted, word};
use crate::{machine::Machine, profile::Mode};

/// Options that are the profile's business: how images are laid out, and what happens to damage.
const NUMBERS: [(Parameter, &str); 5] = [
    (Parameter::HashOffset, "hash_offset"),
    (Parameter::Format, "format"),
    (Parameter::DataBlockSize, "data_block_size"),
    (Parameter::HashBlockSize, "hash_block_size"),
    (Parameter::FecRoots, "fec_roots"),
];
const TEXTS: [(Parameter, &str); 2] = [
    (Parameter::Hash, "algorithm"),
    (Parameter::FecDevice, "fec_device"),
];
const SWITCHES: [(Parameter, &str); 3] = [
    (Parameter::ZeroBlocks, "ignore_zero_blocks"),
    (Parameter::Once, "check_at_most_once"),
    (Parameter::Tasklet, "try_verify_in_tasklet"),
];

/// Filesystems whose superblocks say where they end, and the hash tree begins.
const WITH_SIZE: [&str; 6] = ["btrfs", "erofs", "ext2", "ext3", "ext4", "squashfs"];

/// The names of words in each mode: of the root hash, and of veritytab(5)'s options.
fn words(mode: Mode) -> (&'static [&'static str], &'static [&'static str]) {
    match mode {
        Mode::Usr => (
            &["verity.usrhash", "usrhash"],
            &["systemd.verity_usr_options"],
        ),
        Mode::Root => (&["roothash"], &["systemd.verity_root_options"]),
    }
}

pub fn section(machine: &Machine, target: &Target, notes: &mut Vec<String>) -> String {
    let mut text = "\n[verity]\n".to_owned();
    let line = machine.cmdline.as_deref().unwrap_or_default();
    let (hashes, options) = words(target.mode);
    let hash = word(line, hashes);
    let verity = target.block.filter(|(_, block)| block.is_verity());
    match (hash, verity) {
        (Some((name, hash)), _) => {
            let _ = writeln!(
                text,
                "# Without a root hash nothing is booted. The command line has it: {name}=…\nrequired = true"
            );
            if !hash.is_empty() && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let _ = writeln!(
                    text,
                    "# The only one that is taken; each update needs another initrd then.\n# root_hash = \"{hash}\""
                );
            }
        }
        (None, Some(_)) => {
            text += "# Without a root hash nothing is booted.\nrequired = true\n";
            notes.push(format!(
                "the root hash: {}= is not on the command line, so root_hash has to say it",
                hashes[0]
            ));
        }
        (None, None) => {
            let name = target.name();
            let nothing = match target.block {
                Some(_) => format!("Nothing verifies {name} here."),
                None => format!("Nothing says here that {name} is verified."),
            };
            let _ = write!(
                text,
                "# {nothing} For that: `required = true`, \"dm-verity\" in modules.always, and a root hash.\n\
                 required = false\n"
            );
        }
    }
    let mapped = verity.and_then(|(_, block)| block.mapper.as_ref());
    if let Some((name, _)) = mapped.filter(|(name, _)| name != target.mapped()) {
        let _ = writeln!(text, "name = {}", quoted(name));
    }
    let mut said = Parameters::NONE;
    if let Some((name, list)) = word(line, options) {
        let _ = writeln!(
            text,
            "# As {name}= has it; what is about one image only stays there."
        );
        if let Err(option) = said.read(list.as_bytes()) {
            let option = String::from_utf8_lossy(option);
            notes.push(format!("what \"{option}\" means, an option in {name}="));
        }
    }
    text += &pinned(&said);
    if said.get(Parameter::OnCorruption).is_none() {
        text += "# What follows a block that fails verification: panic, restart, eio, or ignore.\non_corruption = \"panic\"\n";
    }
    if said.get(Parameter::HashOffset).is_none() {
        text += &hash_offset(target);
    }
    text
}

/// Where the tree lies that nobody says it of.
fn hash_offset(target: &Target) -> String {
    let mut text =
        "# Where the hash tree begins: behind the filesystem.\nhash_offset = \"auto\"\n".to_owned();
    let fstype = target.mount.map(|mount| mount.fstype.as_str());
    let block = target.block.map(|(_, block)| block);
    if let (Some(fstype), Some(block)) = (fstype, block)
        && block.is_verity()
        && block.slaves.len() == 1
        && !WITH_SIZE.contains(&fstype)
    {
        let _ = write!(
            text,
            "# {} does not say how long it is; here it is so long.\nhash_offset_fallback = {}\n",
            plain(fstype),
            block.bytes
        );
    }
    text
}

/// The keys that stand for options.
fn pinned(said: &Parameters) -> String {
    let mut text = String::new();
    let get = |parameter| {
        said.get(parameter)
            .and_then(|value| str::from_utf8(value).ok())
    };
    for (parameter, key) in NUMBERS {
        if let Some(number) = said.number(parameter) {
            let _ = writeln!(text, "{key} = {number}");
        }
    }
    for (parameter, key) in TEXTS {
        if let Some(value) = get(parameter) {
            let _ = writeln!(text, "{key} = {}", quoted(value));
        }
    }
    for (parameter, key) in SWITCHES {
        if get(parameter).is_some() {
            let _ = writeln!(text, "{key} = true");
        }
    }
    if !said.has_superblock() {
        text += "superblock = false\n";
    }
    for (parameter, key) in [
        (Parameter::OnCorruption, "on_corruption"),
        (Parameter::OnError, "on_error"),
    ] {
        // `ignore-corruption`, `panic-on-error`: what is done comes first.
        if let Some((action, _)) = get(parameter).and_then(|option| option.split_once('-')) {
            let _ = writeln!(text, "{key} = {}", quoted(action));
        }
    }
    text
}
