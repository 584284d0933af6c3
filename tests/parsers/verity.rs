//! Verity superblocks and tables: by hand for the exact text, and as `veritysetup format` writes them.

use std::fs;

use sha2::{Digest, Sha256, Sha512};
use toehold::format::verity::{SUPERBLOCK, Superblock, is_root_hash};
use toehold::text::Line;

use crate::samples::superblock;
use crate::tools::{field, run};

const HASH: &str = "4c1f36d0bb3f3c4ef9d3b8b9e5b8e5d8d8f7a4c2a1b0c9d8e7f60514233241aa";

fn table(bytes: &[u8; SUPERBLOCK], device: &str, hash_offset: u64, policy: &str) -> String {
    let mut text = Line::new();
    let parsed = Superblock::parse(bytes).unwrap();
    parsed.push_table(
        &mut text,
        device.as_bytes(),
        hash_offset,
        HASH.as_bytes(),
        policy.as_bytes(),
    );
    String::from_utf8(text.to_vec()).unwrap()
}

#[test]
fn table_of_flatcar() {
    let salt = [0xAB; 32];
    let bytes = superblock(1, "sha256", (4096, 4096), 260_094, &salt);
    let salt = "ab".repeat(32);
    assert_eq!(
        table(&bytes, "254:3", 1_065_345_024, "panic_on_corruption"),
        format!("1 254:3 254:3 4096 4096 260094 260095 sha256 {HASH} {salt} 1 panic_on_corruption")
    );
    let parsed = Superblock::parse(&bytes).unwrap();
    assert_eq!(parsed.sectors(), 1_065_345_024 / 512);
    let mut uuid = Line::new();
    parsed.push_uuid(&mut uuid, b"usr");
    assert_eq!(uuid, b"CRYPT-VERITY-000102030405060708090a0b0c0d0e0f-usr");
}

#[test]
fn tables_of_other_kinds() {
    let longest = [0x5C; 256];
    for (hash_type, algorithm, sizes, blocks, salt, offset, want) in [
        (
            0,
            "sha512",
            (512, 1024),
            128,
            &b""[..],
            65536,
            "0 8:1 8:1 512 1024 128 65 sha512 HASH -",
        ),
        (
            1,
            "sha1",
            (1024, 512),
            7,
            b"\x01",
            7168,
            "1 8:1 8:1 1024 512 7 15 sha1 HASH 01",
        ),
        // The superblock ends exactly where a hash block does, or one byte behind.
        (
            1,
            "sha256",
            (4096, 4096),
            2,
            b"",
            3584,
            "1 8:1 8:1 4096 4096 2 1 sha256 HASH -",
        ),
        (
            1,
            "sha256",
            (4096, 4096),
            2,
            b"",
            3585,
            "1 8:1 8:1 4096 4096 2 2 sha256 HASH -",
        ),
        (
            1,
            "blake2b-256",
            (65536, 65536),
            1 << 47,
            b"",
            0,
            "1 8:1 8:1 65536 65536 140737488355328 1 blake2b-256 HASH -",
        ),
        (
            1,
            "sha256",
            (4096, 4096),
            2,
            &longest,
            8192,
            "1 8:1 8:1 4096 4096 2 3 sha256 HASH SALT",
        ),
    ] {
        let bytes = superblock(hash_type, algorithm, sizes, blocks, salt);
        let want = want
            .replace("HASH", HASH)
            .replace("SALT", &"5c".repeat(256));
        assert_eq!(table(&bytes, "8:1", offset, ""), want);
    }
}

#[test]
fn refused() {
    let good = superblock(1, "sha256", (4096, 4096), 8, b"salt");
    assert!(Superblock::parse(&good).is_some());
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
        assert!(Superblock::parse(&bad).is_none(), "{what} {bytes:?}");
    }
    // An algorithm that fills its field has no NUL.
    let full = "a".repeat(32);
    let bytes = superblock(1, &full, (4096, 4096), 8, b"");
    assert_eq!(
        Superblock::parse(&bytes).unwrap().algorithm(),
        full.as_bytes()
    );
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
    let bytes = &file[case.hash_offset as usize..].first_chunk().unwrap();
    let parsed = Superblock::parse(bytes).unwrap();
    let number = |name| field(&dumped, name).parse::<u64>().unwrap();
    assert_eq!(u64::from(parsed.hash_type()), number("Hash type:"));
    assert_eq!(parsed.hash_type(), case.hash_type);
    assert_eq!(parsed.data_blocks(), number("Data blocks:"));
    assert_eq!(parsed.data_blocks(), case.data_blocks);
    assert_eq!(
        u64::from(parsed.data_block_size()),
        number("Data block size:")
    );
    assert_eq!(parsed.data_block_size(), case.data_block_size);
    assert_eq!(
        u64::from(parsed.hash_block_size()),
        number("Hash block size:")
    );
    assert_eq!(parsed.hash_block_size(), case.hash_block_size);
    assert_eq!(
        parsed.algorithm(),
        field(&dumped, "Hash algorithm:").as_bytes()
    );
    assert_eq!(parsed.algorithm(), case.algorithm.as_bytes());
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!(hex(parsed.uuid()), field(&dumped, "UUID:").replace('-', ""));
    let salt = match hex(parsed.salt()) {
        empty if empty.is_empty() => "-".to_owned(),
        digits => digits,
    };
    assert_eq!(salt, field(&dumped, "Salt:"));
    assert_eq!(salt, case.salt);

    // The table's own words lead to the root of the tree: where it begins, it hashes to the root hash.
    let root_hash = field(&formatted, "Root hash:");
    let mut text = Line::new();
    parsed.push_table(
        &mut text,
        b"8:1",
        case.hash_offset,
        root_hash.as_bytes(),
        b"",
    );
    let text = String::from_utf8(text.to_vec()).unwrap();
    let words: Vec<&str> = text.split(' ').collect();
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
    let message = match hash_type {
        "1" => [parsed.salt(), block].concat(),
        _ => [block, parsed.salt()].concat(),
    };
    let root = match algorithm {
        "sha256" => hex(&Sha256::digest(message)),
        _ => hex(&Sha512::digest(message)),
    };
    assert_eq!((root.as_str(), salt), (digest, case.salt), "{text}");
    assert!(is_root_hash(digest.as_bytes()));
}
