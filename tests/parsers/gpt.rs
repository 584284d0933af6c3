//! Partition tables by the `gpt` crate and by sgdisk, whole and with their parts destroyed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use ::gpt::GptConfig;
use ::gpt::disk::LogicalBlockSize;
use ::gpt::mbr::ProtectiveMBR;
use ::gpt::partition_types::LINUX_FS;
use toehold::format::gpt::{Field, Partition, find};
use toehold::spec::Spec;
use uuid::{Uuid, uuid};

use crate::tools::run;

const FIRST: Uuid = uuid!("7130c94a-213a-4e5a-8e26-6cce9662f132");
const SECOND: Uuid = uuid!("e03dd35c-7c2d-4a47-b3fe-27f15780a57c");

/// What a SPEC looks for in a table.
pub fn field(spec: &str) -> Field {
    let mut wanted = Spec::none();
    wanted.read(spec.as_bytes()).unwrap();
    wanted.field
}

/// What [`find`] says for a SPEC.
pub fn look(disk: &[u8], sector: usize, spec: &str) -> Option<Partition> {
    find(disk, sector as u64, disk.len() as u64, &field(spec))
}

/// A whole table's answer for a partition with these sectors.
pub fn at(sector: usize, number: u32, sectors: (u64, u64)) -> Option<Partition> {
    Some(Partition {
        number,
        ambiguous: false,
        from_backup: false,
        start: sectors.0 * sector as u64,
        length: (sectors.1 + 1 - sectors.0) * sector as u64,
    })
}

/// A table that is good and does not have the partition.
pub const NOT_THERE: Option<Partition> = Some(Partition {
    number: 0,
    ambiguous: false,
    from_backup: false,
    start: 0,
    length: 0,
});

fn from_backup(found: Option<Partition>) -> Option<Partition> {
    found.map(|found| Partition {
        from_backup: true,
        ..found
    })
}

/// Checks one partition in the whole table, and with parts of the table destroyed. `entries` are the places of both
/// tables' entries, in sectors.
pub fn survives(
    disk: &[u8],
    sector: usize,
    entries: [u64; 2],
    specs: &[&str],
    want: Option<Partition>,
) {
    let last = disk.len() / sector - 1;
    let destroyed = |sectors: &[usize]| {
        let mut disk = disk.to_vec();
        for number in sectors {
            disk[number * sector..][..92].fill(0xA5);
        }
        disk
    };
    let [primary, backup] = entries.map(|number| number as usize);
    let backup_wanted = from_backup(want);
    for spec in specs {
        for (sectors, want) in [
            (&[][..], want),
            (&[last], want),
            (&[backup], want),
            (&[1], backup_wanted),
            (&[primary], backup_wanted),
            (&[1, primary], backup_wanted),
            (&[1, last], None),
            (&[1, backup], None),
            (&[primary, last], None),
            (&[primary, backup], None),
        ] {
            assert_eq!(
                look(&destroyed(sectors), sector, spec),
                want,
                "{spec} without {sectors:?}"
            );
        }
    }
}

#[test]
fn as_the_gpt_crate_writes_them() {
    for (sector, size) in [
        (512, LogicalBlockSize::Lb512),
        (4096, LogicalBlockSize::Lb4096),
    ] {
        let sectors = 256;
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
        let uuids = [FIRST, SECOND].map(|guid| format!("PARTUUID={guid}"));
        survives(
            &disk,
            sector,
            entries,
            &[&uuids[0], "PARTLABEL=USR-A"],
            at(sector, 1, (40, 99)),
        );
        survives(
            &disk,
            sector,
            entries,
            &[&uuids[1], "PARTLABEL=Größe 💾"],
            at(sector, 2, (100, 100)),
        );
        // Names and GUIDs compare whole; an unused entry is no partition, whatever is looked for.
        for spec in [
            "PARTLABEL=USR",
            "PARTLABEL=USR-A ",
            "PARTLABEL=usr-a",
            "PARTLABEL=SR-A",
            "PARTUUID=00000000-0000-0000-0000-000000000000",
            "PARTUUID=7130c94a-213a-4e5a-8e26-6cce9662f133",
        ] {
            assert_eq!(look(&disk, sector, spec), NOT_THERE, "{spec}");
        }
        // The other sector size finds no table.
        assert_eq!(look(&disk, 4608 - sector, &uuids[0]), None);
    }
}

#[test]
fn as_sgdisk_writes_them() {
    let room = tempfile::tempdir().unwrap();
    for (count, entries) in [(128, 32), (16, 4), (200, 50)] {
        let image = room.path().join(format!("{count}"));
        fs::write(&image, vec![0; 512 * 1024]).unwrap();
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
                "--change-name=1:größe",
                "--change-name=7:USR-A",
                image.to_str().unwrap(),
            ],
        );
        let disk = fs::read(&image).unwrap();
        let places = [2, 1023 - entries];
        let uuids = [FIRST, SECOND].map(|guid| format!("PARTUUID={guid}"));
        survives(
            &disk,
            512,
            places,
            &[&uuids[0], "PARTLABEL=größe"],
            at(512, 1, (100, 199)),
        );
        survives(
            &disk,
            512,
            places,
            &[&uuids[1], "PARTLABEL=USR-A"],
            at(512, 7, (200, 233)),
        );
    }
}
