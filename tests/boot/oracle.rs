//! veritysetup as the oracle: in each boot of a matrix of parameters it opens the device that the init opened, from the same
//! words, and both must be the same.

use std::collections::BTreeMap;

use toehold_stage2::Report;
use xtask::lab::disk::{Disk, FecRecipe, Filesystem, Place, Recipe, Tree, Verity};
use xtask::lab::kernels::Series;

use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::{IMAGE, expect};

/// One row of the matrix.
#[derive(Clone, Copy)]
struct Case {
    hash_type: u32,
    algorithm: &'static str,
    data_block_size: u64,
    hash_block_size: u64,
    salt: Salt,
    superblock: bool,
    tree: Place,
    fec: Option<FecRecipe>,
    usr: Filesystem,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Salt {
    None,
    Byte,
    /// 32 bytes, as veritysetup chooses them.
    Random,
    /// 256 bytes.
    Longest,
}

use Filesystem::{Btrfs, Erofs, Ext4, Squashfs};
use Place::{Behind, Partition};
use Salt::{Byte, Longest, Random};

const NO_FEC: Option<FecRecipe> = None;
const FEC_BEHIND: Option<FecRecipe> = Some(FecRecipe {
    place: Behind,
    roots: 2,
});
const FEC_PARTITION: Option<FecRecipe> = Some(FecRecipe {
    place: Partition,
    roots: 24,
});

/// Makes of each row a function that returns it, a test on Linux 6.1, and an item of `MATRIX`.
macro_rules! matrix {
    ($($when:tt $name:ident: $hash_type:literal $algorithm:literal $data:literal $hash:literal $salt:path, $superblock:literal $tree:path, $fec:ident $usr:ident)*) => {
        mod rows {
            use super::*;
            $(pub fn $name() -> Case {
                Case {
                    hash_type: $hash_type,
                    algorithm: $algorithm,
                    data_block_size: $data,
                    hash_block_size: $hash,
                    salt: $salt,
                    superblock: $superblock,
                    tree: $tree,
                    fec: $fec,
                    usr: $usr,
                }
            })*
        }

        mod linux_6_1_cloud {
            use super::{Series, opened_as_by_veritysetup, rows};

            $(a_test! { $when $name opened_as_by_veritysetup(rows::$name(), Series::Cloud61) })*
        }

        const MATRIX: &[fn() -> Case] = &[$(rows::$name),*];
    };
}

matrix! {
    // when it runs (see `a_test`), hash type, algorithm, bytes of data and hash blocks, salt, superblock, tree, error correction, filesystem
    []     sha1_1024_4096_type_0: 0 "sha1" 1024 4096 Random, true Partition, NO_FEC Squashfs
    [also] sha1_512_512_type_1: 1 "sha1" 512 512 Byte, false Behind, FEC_BEHIND Ext4
    [also] sha1_1024_1024_type_1: 1 "sha1" 1024 1024 Salt::None, false Behind, FEC_PARTITION Btrfs
    [also] sha1_4096_512_type_1: 1 "sha1" 4096 512 Longest, true Behind, NO_FEC Erofs
    [also] sha256_1024_1024_type_1: 1 "sha256" 1024 1024 Byte, true Behind, FEC_PARTITION Erofs
    [also] sha256_4096_4096_type_0: 0 "sha256" 4096 4096 Salt::None, true Partition, FEC_BEHIND Erofs
    []     sha256_512_512_type_1: 1 "sha256" 512 512 Random, false Behind, FEC_PARTITION Btrfs
    [also] sha256_512_1024_type_1: 1 "sha256" 512 1024 Longest, true Partition, NO_FEC Ext4
    [also] sha512_512_512_type_1: 1 "sha512" 512 512 Salt::None, false Behind, NO_FEC Squashfs
    [also] sha512_512_512_type_0: 0 "sha512" 512 512 Longest, true Partition, FEC_PARTITION Btrfs
    []     sha512_1024_1024_type_1: 1 "sha512" 1024 1024 Random, false Partition, FEC_BEHIND Ext4
    [also] sha512_4096_4096_type_0: 0 "sha512" 4096 4096 Byte, true Partition, FEC_PARTITION Ext4
    [also] blake2b_4096_4096_type_1: 1 "blake2b-512" 4096 4096 Longest, false Partition, FEC_BEHIND Btrfs
    [also] blake2b_4096_1024_type_0: 0 "blake2b-512" 4096 1024 Random, false Behind, NO_FEC Squashfs
    []     blake2b_1024_512_type_1: 1 "blake2b-512" 1024 512 Longest, true Behind, NO_FEC Erofs
    [also] blake2b_512_4096_type_1: 1 "blake2b-512" 512 4096 Byte, true Behind, NO_FEC Btrfs
    [also] blake2b_1024_1024_type_0: 0 "blake2b-512" 1024 1024 Salt::None, false Behind, FEC_PARTITION Ext4
}

/// Kernels from 7 on have no blake2b for dm-verity.
mod linux_7_2_cloud {
    use super::{Series, opened_as_by_veritysetup, rows};

    macro_rules! on_it {
        ($($when:tt $name:ident)*) => {
            $(a_test! { $when $name opened_as_by_veritysetup(rows::$name(), Series::Cloud72) })*
        };
    }
    on_it! {
        [also] sha1_1024_4096_type_0
        [] sha256_512_512_type_1
        [also] sha512_512_512_type_0
    }
}

impl Case {
    /// The values, by the name of what they are values of.
    fn values(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("hash type", self.hash_type.to_string()),
            ("algorithm", self.algorithm.to_owned()),
            ("data blocks", self.data_block_size.to_string()),
            ("hash blocks", self.hash_block_size.to_string()),
            ("salt", format!("{:?}", self.salt)),
            ("superblock", self.superblock.to_string()),
            ("tree", format!("{:?}", self.tree)),
            ("error correction", format!("{:?}", self.fec)),
        ])
    }

    fn tree(&self) -> Tree {
        let salt = match self.salt {
            Salt::None => Some("-".to_owned()),
            Byte => Some("5a".to_owned()),
            Random => None,
            Longest => Some("c3".repeat(256)),
        };
        Tree {
            format: self.hash_type,
            algorithm: self.algorithm.to_owned(),
            data_block_size: self.data_block_size,
            hash_block_size: self.hash_block_size,
            salt,
            superblock: self.superblock,
            uuid: None,
            place: self.tree,
            fec: self.fec,
        }
    }
}

/// Every value stands beside every value of everything else, but that error correction needs blocks of one size.
#[test]
fn all_pairs() {
    let rows: Vec<_> = MATRIX.iter().map(|row| row().values()).collect();
    let mut axes = BTreeMap::<_, Vec<&String>>::new();
    for (name, value) in rows.iter().flatten() {
        let values = axes.entry(*name).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let count: Vec<usize> = axes.values().map(Vec::len).collect();
    assert_eq!(count, [4, 3, 3, 3, 2, 4, 2, 2], "{axes:?}");
    for (one, ones) in &axes {
        for (other, others) in axes.iter().filter(|(other, _)| *other > one) {
            for (a, b) in ones.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                let found = rows.iter().any(|row| row[one] == **a && row[other] == **b);
                assert!(found, "no row has {one} {a} and {other} {b}");
            }
        }
    }
}

/// The disk's own words, and for the oracle the nodes and offsets that the init finds out by itself.
fn words(disk: &Disk) -> String {
    let verity = verity(disk);
    let node = |number: u32| format!("/dev/vda{number}");
    let data = node(disk.partition);
    let tree = verity.partition.as_ref().map(|tree| node(tree.number));
    let tree = tree.as_ref().unwrap_or(&data);
    let mut open = format!("{data},{tree},--hash-offset={}", verity.hash_offset);
    if let Some(fec) = &verity.fec {
        let fec = fec.partition.as_ref().map(|fec| node(fec.number));
        open += &format!(",--fec-device={}", fec.as_ref().unwrap_or(tree));
    }
    format!("{} stage2.open={open}", disk.words())
}

fn verity(disk: &Disk) -> &Verity {
    disk.verity.as_ref().expect("verity")
}

fn opened_as_by_veritysetup(case: Case, kernel: Series) {
    let algorithms: &[&str] = match kernel {
        Series::Cloud61 => &["sha512_generic", "blake2b_generic"],
        _ => &[],
    };
    let booted = Boot {
        kernel,
        initrd: Wanted {
            names: algorithms,
            ..Wanted::DEMO
        },
        recipe: Recipe {
            usr: case.usr,
            tree: case.tree(),
            ..Recipe::default()
        },
        // What error correction cannot repair, the corruption policy turns into a panic.
        damage: case.fec.map(|_| {
            (|disk| disk.flip(disk.bait().expect("bait") + 100).expect("damage")) as fn(&Disk)
        }),
        words,
        append: "stage2.read=all",
        ..Boot::default()
    }
    .stage2();
    expect::everything(&booted, IMAGE);
    let report = &booted.report;
    same(report);
    asked_for(case, verity(&booted.disk), report);
    let read = report.read.as_ref().expect("all files were read");
    assert_eq!((read.files, &read.errors[..]), (304, &[][..]));
    if case.fec.is_some() && kernel == Series::Cloud72 {
        // Those kernels count what was repaired.
        let status = report.dmsetup_status.stdout.trim_end();
        let repaired = status
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse::<u32>().ok());
        assert!(repaired.is_some_and(|count| count > 0), "{status}");
    }
}

/// The image is good, but for a kernel that has its algorithm.
#[test]
fn algorithm_that_the_kernel_does_not_have() {
    Boot {
        kernel: Series::Cloud72,
        recipe: Recipe {
            usr: Squashfs,
            tree: rows::blake2b_4096_1024_type_0().tree(),
            ..Recipe::default()
        },
        ..Boot::default()
    }
    .fails("FAILED stage=verity step=algorithm errno=ENOENT subject=/dev/vda2");
}

/// Both devices have the same table, UUID and status; only the names and the node of the data differ.
fn same(report: &Report) {
    let oracle = report.oracle.as_ref().expect("an oracle");
    assert_eq!(oracle.open.code, Some(0), "{:?}", oracle.open);
    let table =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let ours = table(&report.dmsetup_table.stdout);
    let mut theirs = table(&oracle.table.stdout);
    assert!(ours.len() > 5, "{:?}", report.dmsetup_table);
    // Start, length, target and hash type come first.
    let data = std::mem::replace(&mut theirs[4], ours[4].clone());
    assert_eq!(data, oracle.data);
    assert_eq!(ours, theirs);

    let uuid = report.dm.as_ref().map(|dm| dm.uuid.as_str());
    let ours = uuid.and_then(|uuid| uuid.strip_suffix("-usr"));
    assert_eq!(ours, oracle.uuid.strip_suffix("-oracle"), "{uuid:?}");
    assert!(ours.is_some(), "{uuid:?}");

    let fields = |mut fields: BTreeMap<String, String>| {
        for different in ["", "data device", "data loop"] {
            fields.remove(different);
        }
        fields
    };
    assert_eq!(fields(report.verity()), fields(oracle.status.fields()));
}

/// The device is the one that was asked for: as far as veritysetup tells, in its words.
fn asked_for(case: Case, verity: &Verity, report: &Report) {
    let fields = report.verity();
    let roots = verity.fec.as_ref().map(|fec| fec.roots.to_string());
    for (field, want) in [
        ("status", Some("verified")),
        ("hash type", Some(case.hash_type.to_string().as_str())),
        ("data block", Some(&case.data_block_size.to_string())),
        ("hash block", Some(&case.hash_block_size.to_string())),
        ("hash name", Some(case.algorithm)),
        ("salt", Some(&verity.salt)),
        ("root hash", Some(&verity.root_hash)),
        ("FEC roots", roots.as_deref()),
    ] {
        assert_eq!(fields.get(field).map(String::as_str), want, "{field}");
    }
}
