//! Verity superblocks: impossible ones by hand, and as `veritysetup format` writes them. What tables are made of them, see
//! [`crate::target`].

use std::fs;

use sha2::{Digest, Sha256, Sha512};
use toehold::format::verity::{Superblock, Target, is_root_hash};
use toehold::text::Line;

use crate::samples::superblock;
use crate::tools::{field, run};

/// Whether it is one that the kernel could use.
fn is_good(bytes: [u8; 512]) -> bool {
    let superblock = Superblock(bytes);
    superblock.is_one() && superblock.is_good()
}

/// The fields of a superblock as text, in the order of [`toehold::format::verity::Parameter`].
fn texts(superblock: &Superblock) -> [String; 7] {
    let mut field = 0;
    [(); 7].map(|()| {
        let mut text = Line::new();
        superblock.push(field, &mut text);
        field += 1;
        String::from_utf8(text.to_vec()).unwrap()
    })
}

#[test]
fn refused() {
    let good = superblock(1, "sha256", (4096, 4096), 8, b"salt");
    assert!(is_good(good));
    let u32s = |value: u32| value.to_le_bytes().to_vec();
    for (what, offset, bytes) in [
        ("signature", 0, b"Verity".to_vec()),
        ("signature", 7, vec![1]),
        ("version", 8, u32s(2)),
        ("version", 8, u32s(0x0001_0001)),
        ("hash type", 12, u32s(2)),
        ("algorithm", 32, vec![0]),
        ("algorithm", 32, b"sha 256".to_vec()),
        ("algorithm", 32, b"sha\n".to_vec()),
        ("algorithm", 32, vec![0xC3, 0xA0]),
        ("data block size", 64, u32s(0)),
        ("data block size", 64, u32s(256)),
        ("data block size", 64, u32s(4097)),
        ("data block size", 64, u32s(131_072)),
        ("hash block size", 68, u32s(0)),
        ("hash block size", 68, u32s(3072)),
        ("data blocks", 72, vec![0; 8]),
        ("data blocks", 72, (1u64 << 52).to_le_bytes().to_vec()),
        ("salt size", 80, vec![1, 1]),
    ] {
        let mut bad = good;
        bad[offset..offset + bytes.len()].copy_from_slice(&bytes);
        assert!(!is_good(bad), "{what} {bytes:?}");
    }
    // An algorithm that fills its field has no NUL.
    let full = "a".repeat(32);
    let bytes = superblock(1, &full, (4096, 4096), 8, b"");
    assert!(is_good(bytes));
    assert_eq!(texts(&Superblock(bytes))[4], full);
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
    assert!(is_good(*bytes));
    let superblock = Superblock(*bytes);
    let names = [
        "Hash type:",
        "Data block size:",
        "Hash block size:",
        "Data blocks:",
        "Hash algorithm:",
        "Salt:",
        "UUID:",
    ];
    assert_eq!(texts(&superblock), names.map(|name| field(&dumped, name)));
    assert_eq!(field(&dumped, "Salt:"), case.salt);
    assert_eq!(superblock.data_blocks(), case.data_blocks);

    // The table's own words lead to the root of the tree: where it begins, it hashes to the root hash.
    let root_hash = field(&formatted, "Root hash:");
    let target = Target {
        superblock,
        root_hash: Some(root_hash.as_bytes()),
        hash_offset: case.hash_offset,
        ..Target::NONE
    };
    let mut text = Line::new();
    target.push_table(&mut text, false);
    let text = String::from_utf8(text.to_vec()).unwrap();
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let [
        hash_type,
        _,
        _,
        _,
        block_size,
        _,
        start,
        algorithm,
        digest,
        salt,
    ] = words[..]
    else {
        panic!("{text}");
    };
    let block_size: usize = block_size.parse().unwrap();
    let start = start.parse::<usize>().unwrap() * block_size;
    let block = &file[start..start + block_size];
    let salt = match salt {
        "-" => Vec::new(),
        digits => bytes[88..88 + digits.len() / 2].to_vec(),
    };
    let message = match hash_type {
        "1" => [&salt, block].concat(),
        _ => [block, &salt].concat(),
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let root = match algorithm {
        "sha256" => hex(&Sha256::digest(message)),
        _ => hex(&Sha512::digest(message)),
    };
    assert_eq!((root.as_str(), digest), (root_hash, root_hash), "{text}");
    assert!(is_root_hash(digest.as_bytes()));
}
