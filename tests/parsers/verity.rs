//! Verity superblocks: impossible ones by hand, and as `veritysetup format` writes them. What tables are made of them, see
//! [`crate::target`].

use std::fs;

use sha2::{Digest, Sha256, Sha512};
use toehold::format::verity::{Layout, is_root_hash};

use crate::target::{HASH, table};
use crate::tools::{field, run};
use toehold_samples::layouts::superblock;

fn target(superblock: [u8; 512]) -> Layout<'static> {
    Layout {
        superblock,
        root_hash: HASH.as_bytes(),
        ..Layout::NONE
    }
}

#[test]
fn signatures() {
    let good = superblock(1, "sha256", (4096, 4096), 8, b"salt");
    assert!(target(good).is_superblock());
    for (offset, byte) in [(0, b'V'), (5, 0), (7, 1), (8, 2), (8, 0), (9, 1), (11, 1)] {
        let mut bad = good;
        bad[offset] = byte;
        assert!(!target(bad).is_superblock(), "{offset}");
    }
    assert!(!Layout::NONE.is_superblock());
}

/// Whatever a superblock says, the kernel gets one word for each of its fields, and refuses those that make no sense.
#[test]
fn nothing_slips_into_the_table() {
    let u32s = |value: u32| value.to_le_bytes().to_vec();
    let full = "a".repeat(32);
    for (offset, bytes, place, want) in [
        (12, u32s(2), 0, "2"),
        (12, u32s(u32::MAX), 0, "4294967295"),
        (32, b"sha 256\0".to_vec(), 7, "sha"),
        (32, b"sha\n1 2\0".to_vec(), 7, "sha"),
        (32, vec![b'x', 0xC3, 0xA0, b' '], 7, "x"),
        // An algorithm that fills its field has no NUL.
        (32, full.clone().into_bytes(), 7, full.as_str()),
        (64, u32s(0), 3, "0"),
        (64, u32s(131_072), 3, "131072"),
        (68, u32s(0), 4, "0"),
        (68, u32s(3072), 4, "3072"),
        // A salt longer than its field ends with it.
        (
            80,
            vec![1, 1],
            9,
            &("73616c74".to_owned() + &"00".repeat(252)),
        ),
        (
            80,
            vec![255, 255],
            9,
            &("73616c74".to_owned() + &"00".repeat(252)),
        ),
    ] {
        let mut bytes_of = superblock(1, "sha256", (4096, 4096), 8, b"salt");
        bytes_of[offset..offset + bytes.len()].copy_from_slice(&bytes);
        let text = table(&target(bytes_of), [None; 3], true);
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words.len(), 10, "{text}");
        assert_eq!(words[place], want, "{text}");
    }
}

/// Not more data than there is room for.
#[test]
fn lengths() {
    for (size, blocks, room, want) in [
        (4096, 8, 32_768, Some(64)),
        (4096, 8, 40_000, Some(64)),
        (4096, 8, 32_767, None),
        (512, 8, 4096, Some(8)),
        (4096, 1 << 52, 1 << 40, None),
        (65536, u64::MAX, u64::MAX, None),
        (0, 8, 32_768, None),
    ] {
        let mut target = target(superblock(1, "sha256", (size, 4096), blocks, b""));
        let found = target.measure(room).then(|| target.sectors());
        assert_eq!(found, want, "{blocks} blocks of {size} in {room}");
    }
}

#[test]
fn root_hashes() {
    for good in ["00", "aBcDeF0123", &"f".repeat(128)] {
        assert!(is_root_hash(good.as_bytes()), "{good}");
    }
    for bad in ["", "0", "0g", "00 ", " 00", "0x00", "000", &"f".repeat(130)] {
        assert!(!is_root_hash(bad.as_bytes()), "{bad}");
    }
}

/// What to ask `veritysetup format` for.
struct Case {
    hash_type: u32,
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    salt: &'static str,
    hash_offset: u64,
}

#[test]
fn as_veritysetup_writes_them() {
    let room = tempfile::tempdir().unwrap();
    let image = room.path().join("image");
    let case = |hash_type, algorithm, sizes: (u32, u32), data_blocks, salt, hash_offset| Case {
        hash_type,
        algorithm,
        data_block_size: sizes.0,
        hash_block_size: sizes.1,
        data_blocks,
        salt,
        hash_offset,
    };
    let longest: &'static str = "c3".repeat(256).leak();
    for case in [
        case(1, "sha256", (4096, 4096), 200, "00ff17", 819_200),
        case(1, "sha256", (4096, 4096), 200, "-", 1_048_576),
        case(1, "sha256", (512, 4096), 1000, "5a", 524_288),
        case(1, "sha512", (1024, 512), 333, longest, 340_992),
        case(1, "sha512", (4096, 1024), 40, "-", 163_840),
        case(0, "sha256", (4096, 4096), 150, "0102030405060708", 614_400),
        case(0, "sha512", (512, 1024), 128, "-", 66_048),
    ] {
        check(&image, &case);
    }
}

fn check(image: &std::path::Path, case: &Case) {
    let data: Vec<u8> = (0..case.data_blocks * u64::from(case.data_block_size))
        .map(|place| ((place * 7) >> 3) as u8)
        .collect();
    fs::write(image, data).unwrap();
    let path = image.to_str().unwrap();
    let offset = format!("--hash-offset={}", case.hash_offset);
    let formatted = run(
        "cryptsetup-bin",
        "veritysetup",
        &[
            "format",
            path,
            path,
            &offset,
            &format!("--format={}", case.hash_type),
            &format!("--hash={}", case.algorithm),
            &format!("--data-block-size={}", case.data_block_size),
            &format!("--hash-block-size={}", case.hash_block_size),
            &format!("--data-blocks={}", case.data_blocks),
            &format!("--salt={}", case.salt),
            "--uuid=7130c94a-213a-4e5a-8e26-6cce9662f132",
        ],
    );
    let dumped = run("cryptsetup-bin", "veritysetup", &["dump", path, &offset]);

    let file = fs::read(image).unwrap();
    let bytes = file[case.hash_offset as usize..].first_chunk().unwrap();
    // The table's own words lead to the root of the tree: where it begins, it hashes to the root hash.
    let root_hash = field(&formatted, "Root hash:");
    let mut target = Layout {
        superblock: *bytes,
        root_hash: root_hash.as_bytes(),
        hash_offset: case.hash_offset,
        ..Layout::NONE
    };
    assert!(target.is_superblock());
    assert!(target.measure(case.hash_offset));
    let text = table(&target, [None; 3], false);
    let words: Vec<&str> = text.split(' ').collect();
    let [
        hash_type,
        _,
        _,
        data_size,
        hash_size,
        blocks,
        start,
        algorithm,
        digest,
        salt,
    ] = words[..]
    else {
        panic!("{text}");
    };
    for (word, name) in [
        (hash_type, "Hash type:"),
        (data_size, "Data block size:"),
        (hash_size, "Hash block size:"),
        (blocks, "Data blocks:"),
        (algorithm, "Hash algorithm:"),
        (salt, "Salt:"),
    ] {
        assert_eq!(word, field(&dumped, name), "{name}");
    }
    assert_eq!((salt, algorithm), (case.salt, case.algorithm));
    let hash_size: usize = hash_size.parse().unwrap();
    let start = start.parse::<usize>().unwrap() * hash_size;
    let block = &file[start..start + hash_size];
    let salt = match salt {
        "-" => &[],
        digits => &bytes[88..88 + digits.len() / 2],
    };
    let message = match hash_type {
        "1" => [salt, block].concat(),
        _ => [block, salt].concat(),
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let root = match algorithm {
        "sha256" => hex(&Sha256::digest(message)),
        _ => hex(&Sha512::digest(message)),
    };
    assert_eq!((root.as_str(), digest), (root_hash, root_hash), "{text}");
    assert!(is_root_hash(digest.as_bytes()));
}
