//! Partition tables by the `gpt` crate, sgdisk and sfdisk, whole and with their parts destroyed; what partx, which reads them as
//! blkid and udev do, says of them is what the library has to say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ::gpt::GptConfig;
use ::gpt::disk::LogicalBlockSize;
use ::gpt::mbr::ProtectiveMBR;
use ::gpt::partition_types::LINUX_FS;
use toehold::format::gpt::Table;
use toehold::text::Line;
use uuid::{Uuid, uuid};

use crate::tools::{run, unescape};

const FIRST: Uuid = uuid!("7130c94a-213a-4e5a-8e26-6cce9662f132");
const SECOND: Uuid = uuid!("e03dd35c-7c2d-4a47-b3fe-27f15780a57c");

/// What the library says of a partition.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Told {
    /// `PARTUUID=…` and `PARTLABEL=…`, each with a newline before it.
    pub names: String,
    /// First sector and how many, where it is the library that has to know.
    pub place: Option<(u64, u64)>,
    /// The kernel does not show it by itself.
    pub hidden: bool,
}

/// What it says of partition `number` on a disk with sectors of so many bytes.
pub fn look(disk: &[u8], sector: u64, number: u32) -> Told {
    let mut table = Table::NONE;
    table.read(disk, (sector, disk.len() as u64));
    let mut names = Line::new();
    table.describe(disk, number, &mut names);
    let place = table.partition(disk, number);
    Told {
        names: String::from_utf8(names.to_vec()).unwrap(),
        place: place.map(|(start, length)| (start / sector, length / sector)),
        hidden: table.is_hidden(),
    }
}

/// What it has to say of a partition of a GPT: first and last sector, GUID and name.
pub fn told(sectors: (u64, u64), guid: impl ToString, name: &str) -> Told {
    let guid = guid.to_string();
    let label = match name {
        "" => String::new(),
        name => format!("\nPARTLABEL={name}"),
    };
    Told {
        names: format!("\nPARTUUID={guid}{label}"),
        place: Some((sectors.0, sectors.1 + 1 - sectors.0)),
        hidden: false,
    }
}

/// Checks one partition in the whole table, and with parts of the table destroyed. `entries` are the places of both
/// tables' entries, in sectors.
pub fn survives(disk: &[u8], sector: usize, entries: [u64; 2], number: u32, want: &Told) {
    let last = disk.len() / sector - 1;
    let destroyed = |sectors: &[usize]| {
        let mut disk = disk.to_vec();
        for number in sectors {
            disk[number * sector..][..92].fill(0xA5);
        }
        disk
    };
    let [primary, backup] = entries.map(|number| number as usize);
    let from_backup = &Told {
        hidden: true,
        ..want.clone()
    };
    let none = &Told::default();
    for (sectors, want) in [
        (&[][..], want),
        (&[last], want),
        (&[backup], want),
        (&[1], from_backup),
        (&[primary], from_backup),
        (&[1, primary], from_backup),
        (&[1, last], none),
        (&[1, backup], none),
        (&[primary, last], none),
        (&[primary, backup], none),
    ] {
        let found = look(&destroyed(sectors), sector as u64, number);
        assert_eq!(found, *want, "{number} without {sectors:?}");
    }
}

/// What partx says: number, first byte and length, PARTUUID, PARTLABEL.
fn partx(image: &Path, sector: usize) -> Vec<(u32, u64, u64, String, String)> {
    let image = image.to_str().unwrap();
    let sector = sector.to_string();
    let columns = "NR,START,SECTORS,UUID,NAME";
    let options = ["--raw", "--noheadings", "--sector-size", &sector];
    let text = run(
        "util-linux",
        "partx",
        &[&options[..], &["--output", columns, image]].concat(),
    );
    let line = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let mut number = || word().parse::<u64>().unwrap();
        let (nr, start, sectors) = (number(), number(), number());
        // Units of 512 bytes, whatever the sectors are.
        (
            nr as u32,
            start * 512,
            sectors * 512,
            word(),
            unescape(&word()),
        )
    };
    text.lines().map(line).collect()
}

/// The library says of the image in `file` what partx says, and of numbers without a partition nothing.
fn as_partx(file: &Path, sector: usize, count: usize) {
    let disk = fs::read(file).unwrap();
    let partitions = partx(file, sector);
    assert_eq!(partitions.len(), count, "{partitions:?}");
    for (number, start, length, uuid, label) in &partitions {
        let mut found = look(&disk, sector as u64, *number);
        // Of an MBR the kernel tells the places.
        found
            .place
            .get_or_insert((start / sector as u64, length / sector as u64));
        let first = start / sector as u64;
        let last = (start + length) / sector as u64 - 1;
        assert_eq!(found, told((first, last), uuid, label), "{number}");
    }
}

#[test]
fn as_the_gpt_crate_writes_them() {
    let room = tempfile::tempdir().unwrap();
    for (sector, size) in [
        (512, LogicalBlockSize::Lb512),
        (4096, LogicalBlockSize::Lb4096),
    ] {
        let sectors = 1024;
        let mut device = Cursor::new(vec![0; sector * sectors]);
        ProtectiveMBR::with_lb_size(sectors as u32 - 1)
            .overwrite_lba0(&mut device)
            .unwrap();
        let config = GptConfig::new().writable(true).logical_block_size(size);
        let mut table = config.create_from_device(device, None).unwrap();
        let partition = |guid, name: &str, first_lba, last_lba| ::gpt::partition::Partition {
            part_type_guid: LINUX_FS,
            part_guid: guid,
            first_lba,
            last_lba,
            flags: 0,
            name: name.to_owned(),
        };
        table
            .update_partitions(BTreeMap::from([
                (1, partition(FIRST, "USR-A", 40, 99)),
                (2, partition(SECOND, "Größe 💾", 100, 100)),
            ]))
            .unwrap();
        let entries = [
            table.primary_header().unwrap().part_start,
            table.backup_header().unwrap().part_start,
        ];
        let disk = table.write().unwrap().into_inner();
        survives(&disk, sector, entries, 1, &told((40, 99), FIRST, "USR-A"));
        survives(
            &disk,
            sector,
            entries,
            2,
            &told((100, 100), SECOND, "Größe 💾"),
        );
        // An unused entry is no partition, nor is what lies outside the table.
        for number in [0, 3, 128, 129, u32::MAX] {
            assert_eq!(
                look(&disk, sector as u64, number),
                Told::default(),
                "{number}"
            );
        }
        // The other sector size finds no table.
        assert_eq!(look(&disk, 4608 - sector as u64, 1), Told::default());
        let file = room.path().join("disk");
        fs::write(&file, disk).unwrap();
        as_partx(&file, sector, 2);
    }
}

#[test]
fn as_sgdisk_writes_them() {
    let room = tempfile::tempdir().unwrap();
    for (count, entries) in [(128, 32), (16, 4), (200, 50)] {
        let file = room.path().join(format!("{count}"));
        fs::write(&file, vec![0; 512 * 1024]).unwrap();
        run(
            "gdisk",
            "sgdisk",
            &[
                "--clear",
                "--set-alignment=1",
                &format!("--resize-table={count}"),
                "--new=1:100:199",
                "--new=7:200:233",
                &format!("--partition-guid=1:{FIRST}"),
                &format!("--partition-guid=7:{SECOND}"),
                "--change-name=1:größe 💾 \\\"'x",
                "--change-name=7:USR-A",
                file.to_str().unwrap(),
            ],
        );
        let disk = fs::read(&file).unwrap();
        let places = [2, 1023 - entries];
        survives(
            &disk,
            512,
            places,
            1,
            &told((100, 199), FIRST, "größe 💾 \\\"'x"),
        );
        survives(&disk, 512, places, 7, &told((200, 233), SECOND, "USR-A"));
        as_partx(&file, 512, 2);
    }
}

/// As many entries as the kernel counts, all of them used, with names of every length.
#[test]
fn many_partitions_by_sgdisk() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("disk");
    fs::write(&file, vec![0; 1 << 20]).unwrap();
    let mut options = vec![
        "--clear".to_owned(),
        "--set-alignment=1".to_owned(),
        "--resize-table=256".to_owned(),
    ];
    for number in 1..=256 {
        options.push(format!("--new={number}:{}:+2", 200 + number * 4));
        let name: String = ["ä", "💾", "z"]
            .iter()
            .cycle()
            .take(number % 25)
            .copied()
            .collect();
        options.push(format!("--change-name={number}:{name}"));
    }
    options.push(file.to_str().unwrap().to_owned());
    run("gdisk", "sgdisk", &options);
    as_partx(&file, 512, 256);
}

/// An MBR that shows some of a GPT's partitions, too: the GPT counts.
#[test]
fn hybrid_by_sgdisk() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("disk");
    fs::write(&file, vec![0; 512 * 1024]).unwrap();
    let path = file.to_str().unwrap();
    let new = [
        "--clear",
        "--set-alignment=1",
        "--new=1:100:199",
        "--new=2:200:299",
    ];
    run("gdisk", "sgdisk", &[&new[..], &[path]].concat());
    run("gdisk", "sgdisk", &["--hybrid=2", path]);
    let disk = fs::read(&file).unwrap();
    let types = [446, 462].map(|entry| disk[entry + 4]);
    assert!(types.contains(&0xEE) && types != [0xEE, 0], "{types:x?}");
    as_partx(&file, 512, 2);
}

/// Writes a table by a script of sfdisk's.
fn sfdisk(file: &Path, script: &str) {
    let mut child = Command::new("sfdisk")
        .env(
            "PATH",
            std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin",
        )
        .args(["--quiet", "--no-reread"])
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sfdisk; install it with: apt-get install fdisk");
    let mut input = child.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "{script}");
}

#[test]
fn mbr_by_sfdisk() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("disk");
    fs::write(&file, vec![0; 8 << 20]).unwrap();
    sfdisk(
        &file,
        "label: dos\nlabel-id: 0x0a1b2c3d\nunit: sectors\n1 : start=64, size=64, type=83\n3 : start=256, size=4096, type=5\n\
         4 : start=8192, size=64, type=ef\n5 : start=512, size=64, type=83\n6 : start=1024, size=64, type=83\n",
    );
    as_partx(&file, 512, 5);
    // Logical partitions go on as far as anybody wants.
    let disk = fs::read(&file).unwrap();
    assert_eq!(look(&disk, 512, 60).names, "\nPARTUUID=0a1b2c3d-3c");
}

#[test]
fn gpt_by_sfdisk() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("disk");
    fs::write(&file, vec![0; 8 << 20]).unwrap();
    sfdisk(
        &file,
        &format!(
            "label: gpt\ntable-length: 12\nunit: sectors\n1 : start=2048, size=64, uuid={FIRST}, name=\"größe x\"\n\
             12 : start=4096, size=64, uuid={SECOND}\n"
        ),
    );
    as_partx(&file, 512, 2);
    let disk = fs::read(&file).unwrap();
    assert_eq!(look(&disk, 512, 12), told((4096, 4159), SECOND, ""));
}
