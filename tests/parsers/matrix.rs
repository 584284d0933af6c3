//! The table of a verity device, for all combinations of its parameters: compared with what cryptsetup's rules make of the same
//! parameters, from superblocks that `veritysetup format` wrote and from options where there is none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toehold::format::verity::Layout;
use toehold::text::Line;

use crate::target::{DEVICES, HASH, contradiction, table};
use crate::tools::run;

/// The devices of [`DEVICES`], as tables have them.
const NUMBERS: [&str; 3] = ["254:2", "8:17", "259:1048575"];

/// Where error correction is, if there is any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Correction {
    None,
    /// Behind the tree.
    Behind,
    /// On a device of its own, from its start.
    Own,
}

#[derive(Clone, Debug)]
struct Case {
    hash_type: u32,
    algorithm: &'static str,
    data_block_size: u64,
    hash_block_size: u64,
    /// Hexadecimal, `-` for none.
    salt: String,
    has_superblock: bool,
    /// The tree is on a device of its own.
    own_tree: bool,
    correction: Correction,
}

const DATA: u64 = 1 << 20;
const UUID: &str = "7130c94a-213a-4e5a-8e26-6cce9662f132";

impl Case {
    fn data_blocks(&self) -> u64 {
        DATA / self.data_block_size
    }

    fn hash_offset(&self) -> u64 {
        if self.own_tree { 512 } else { DATA }
    }

    /// The words of the table that have their places, by cryptsetup's get_dm_verity_params and VERITY_hash_offset_block.
    fn words(&self) -> String {
        let tree = NUMBERS[usize::from(self.own_tree)];
        let start = self.hash_start();
        format!(
            "{} {} {tree} {} {} {} {start} {} {HASH} {}",
            self.hash_type,
            NUMBERS[0],
            self.data_block_size,
            self.hash_block_size,
            self.data_blocks(),
            self.algorithm,
            self.salt
        )
    }

    fn hash_start(&self) -> u64 {
        let (mut offset, size) = (self.hash_offset(), self.hash_block_size);
        if self.has_superblock {
            offset += 512 + size - 1;
        }
        offset / size
    }

    /// The eight words about error correction, by VERITY_FEC_blocks.
    fn correction_words(&self, offset: u64, hash_device: u64, roots: u32) -> Option<String> {
        let (device, area) = match self.correction {
            Correction::None => return None,
            Correction::Behind => (NUMBERS[usize::from(self.own_tree)], offset),
            Correction::Own => (NUMBERS[2], hash_device),
        };
        let start = offset / self.hash_block_size;
        let tree = area / self.data_block_size - self.hash_start();
        let blocks = self.data_blocks() + tree;
        Some(format!(
            "use_fec_from_device {device} fec_start {start} fec_blocks {blocks} fec_roots {roots}"
        ))
    }

    /// Options that say all of it.
    fn options(&self) -> String {
        format!(
            "superblock=no,format={},data-block-size={},hash-block-size={},data-blocks={},hash={},salt={}",
            self.hash_type,
            self.data_block_size,
            self.hash_block_size,
            self.data_blocks(),
            self.algorithm,
            self.salt
        )
    }

    /// The superblock that `veritysetup format` writes.
    fn format(&self, room: &Path) -> [u8; 512] {
        let [data, hash] = ["data", "hash"].map(|name| room.join(name));
        if !data.exists() {
            fs::write(&data, vec![7; DATA as usize]).unwrap();
        }
        let _ = fs::remove_file(&hash);
        let options = [
            format!("--format={}", self.hash_type),
            format!("--hash={}", self.algorithm),
            format!("--data-block-size={}", self.data_block_size),
            format!("--hash-block-size={}", self.hash_block_size),
            // What is hashed does not matter here: a few blocks of it will do.
            "--data-blocks=2".to_owned(),
            format!("--salt={}", self.salt),
            format!("--uuid={UUID}"),
        ];
        let files = [&data, &hash].map(|file| file.to_str().unwrap().to_owned());
        let arguments = [&["format".to_owned()][..], &files, &options].concat();
        run("cryptsetup-bin", "veritysetup", &arguments);
        let mut bytes = *fs::read(&hash).unwrap().first_chunk::<512>().unwrap();
        assert_eq!(bytes[72..80], 2u64.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.data_blocks().to_le_bytes());
        bytes
    }
}

/// The words that have their places, and the options: how many words they are said to be, and each with its value.
fn split(table: &str) -> (String, usize, BTreeSet<String>) {
    let words: Vec<&str> = table.trim_end().split(' ').collect();
    let (fixed, options) = words.split_at(10);
    let mut options = options.iter();
    let count = options.next().map_or(0, |count| count.parse().unwrap());
    assert_eq!(options.len(), count, "{table}");
    let mut found = BTreeSet::new();
    while let Some(name) = options.next() {
        let valued =
            name.starts_with("fec_") || name.starts_with("use_") || name.starts_with("root_");
        let value = if valued { options.next() } else { None };
        found.insert(
            [Some(name), value]
                .into_iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    (fixed.join(" "), count, found)
}

/// The options that are asked for, and how the kernel has them.
const FLAGS: [(&str, &[&str]); 6] = [
    ("", &[]),
    ("panic-on-corruption", &["panic_on_corruption"]),
    (
        "ignore-corruption,restart-on-corruption,panic-on-error",
        &["restart_on_corruption", "panic_on_error"],
    ),
    (
        "check-at-most-once,ignore-zero-blocks",
        &["check_at_most_once", "ignore_zero_blocks"],
    ),
    (
        "ignore-corruption,restart-on-error,try-verify-in-tasklet",
        &[
            "ignore_corruption",
            "restart_on_error",
            "try_verify_in_tasklet",
        ],
    ),
    ("fec-offset=0,fec-roots=2", &[]),
];

/// Checks the table of one case.
fn check(case: &Case, written: &[u8; 512], flags: (&str, &[&str])) {
    const HASH_DEVICE: u64 = 5 << 20;
    let (offset, roots) = match case.correction {
        Correction::None => (0, 2),
        Correction::Behind => (3 << 20, 24),
        Correction::Own => (512 * 24, 7),
    };
    let mut options = flags.0.to_owned();
    if case.correction != Correction::None {
        options += &format!(",fec-offset={offset},fec-roots={roots},fec-device=LABEL=x");
    }
    if !case.has_superblock {
        options = format!("{},{options}", case.options());
    }
    let mut target = Layout {
        root_hash: HASH.as_bytes(),
        hash_offset: case.hash_offset(),
        hash_device_size: HASH_DEVICE,
        ..Layout::NONE
    };
    assert_eq!(
        target.parameters.read(options.as_bytes()),
        Ok(()),
        "{case:?}"
    );
    let correction = match case.correction {
        Correction::None => None,
        Correction::Behind => Some(DEVICES[usize::from(case.own_tree)]),
        Correction::Own => Some(DEVICES[2]),
    };
    let tree = case.own_tree.then_some(DEVICES[1]);
    let devices = [Some(DEVICES[0]), tree, correction];
    if case.has_superblock {
        target.superblock = *written;
        assert!(target.is_superblock());
        assert_eq!(contradiction(&target), None);
    }
    assert!(target.measure(DATA), "{case:?}");
    assert_eq!(target.sectors(), DATA / 512);

    for armed in [true, false] {
        let (fixed, count, options) = split(&table(&target, devices, armed));
        assert_eq!(fixed, case.words(), "{case:?}");
        let is_policy = |flag: &&&str| flag.contains("_corruption") || flag.contains("_error");
        let flags = flags.1.iter().filter(|flag| armed || !is_policy(flag));
        let mut want: BTreeSet<String> = flags.map(|flag| (*flag).to_owned()).collect();
        let mut words = want.len();
        if let Some(correction) = case.correction_words(offset, HASH_DEVICE, roots) {
            words += 8;
            let pairs: Vec<&str> = correction.split(' ').collect();
            want.extend(pairs.chunks(2).map(|pair| pair.join(" ")));
        }
        assert_eq!((count, options), (words, want), "{case:?}");
    }

    let mut uuid = Line::new();
    target.push_uuid(&mut uuid, b"usr");
    let digits = if case.has_superblock {
        UUID.replace('-', "") + "-"
    } else {
        String::new()
    };
    assert_eq!(uuid, format!("CRYPT-VERITY-{digits}usr").as_bytes());
}

#[test]
fn every_combination() {
    let room = tempfile::tempdir().unwrap();
    let salts = [
        "-".to_owned(),
        "5a".to_owned(),
        "c3".repeat(32),
        "7f".repeat(256),
    ];
    let mut count = 0;
    for hash_type in [0, 1] {
        for algorithm in ["sha1", "sha256", "sha512", "blake2b-512"] {
            for (data_block_size, hash_block_size) in [512, 1024, 4096]
                .into_iter()
                .flat_map(|data| [512, 1024, 4096].map(|hash| (data, hash)))
            {
                for salt in &salts {
                    let case = Case {
                        hash_type,
                        algorithm,
                        data_block_size,
                        hash_block_size,
                        salt: salt.clone(),
                        has_superblock: true,
                        own_tree: false,
                        correction: Correction::None,
                    };
                    let written = case.format(room.path());
                    count += check_layouts(&case, &written);
                }
            }
        }
    }
    // 96 with blocks of one size, 192 of two; error correction is for the former.
    assert_eq!(count, (96 * 3 + 192) * 2 * 2);
}

/// Checks a case with and without a superblock, tree and error correction in all places, and each with some flags.
fn check_layouts(case: &Case, written: &[u8; 512]) -> usize {
    let mut count = 0;
    for has_superblock in [true, false] {
        for own_tree in [false, true] {
            for correction in [Correction::None, Correction::Behind, Correction::Own] {
                if correction != Correction::None && case.data_block_size != case.hash_block_size {
                    continue;
                }
                let case = Case {
                    has_superblock,
                    own_tree,
                    correction,
                    ..case.clone()
                };
                // fec-offset and fec-roots are told by the case.
                let flags = FLAGS[count % (FLAGS.len() - 1)];
                check(&case, written, flags);
                count += 1;
            }
        }
    }
    count
}
