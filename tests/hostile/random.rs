//! Random bytes through every parser, and random contents behind magics and checksums that are right.

use proptest::prelude::*;
use toehold::format::plan::Plan;
use toehold::format::{dm, filesystem, glob, gpt, mount_options};
use toehold::spec::Spec;
use toehold::text::Line;

use crate::gpt::{RIGHT, TABLE, field, partitions};
use crate::plan::{plan, seal, walk};
use crate::samples;
use crate::superblocks::{Sparse, superblocks, table};
use crate::words::{ask, options};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The primary table overwritten anywhere: the backup answers.
    #[test]
    fn gpt_overwritten(at in 0usize..0x600, bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut disk = TABLE.build();
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
        prop_assert_eq!(partitions(&disk, disk.len() as u64), [RIGHT; 2]);
    }

    /// A header of any content whose checksum fits.
    #[test]
    fn gpt_headers(fields in any::<[[u8; 8]; 8]>(), kept in any::<u16>()) {
        let mut disk = TABLE.build();
        for (number, field) in fields.iter().enumerate() {
            if kept >> number & 1 == 0 {
                disk[512 + 28 + number * 8..][..8].copy_from_slice(field);
            }
        }
        disk[512 + 16..512 + 20].fill(0);
        let crc = crc32fast::hash(&disk[512..512 + 92]);
        disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
        prop_assert_eq!(partitions(&disk, disk.len() as u64), [RIGHT; 2]);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2048), sector in 0u64..5000, number in any::<u64>()) {
        gpt::find(&bytes[..], sector, bytes.len() as u64, &field(gpt::GUID, &[0; 16]));
        gpt::find(&bytes[..], 512, number, &field(gpt::NAME, b""));
        filesystem::detect(&bytes[..]);
        let _ = Plan::parse(&bytes);
        ask(&bytes);
        let _ = Spec::none().read(&bytes);
        glob::key(&bytes, &bytes);
        dm::status(&bytes);
        dm::device_number(&bytes);
        mount_options::split(&bytes, &mut Line::new());
        let plan = Plan::parse(plan().leak()).ok().unwrap();
        plan.lookup(&bytes, &mut |_| {});
        options(&bytes, &plan);
        if let Some(bytes) = bytes.first_chunk() {
            table(bytes);
        }
    }

    /// Random content where the parsers look, behind the magic that lets them.
    #[test]
    fn random_structures(mut bytes in prop::collection::vec(any::<u8>(), 512), sections in any::<[u8; 2]>()) {
        for (offset, block, _) in superblocks() {
            let mut random = bytes.clone();
            random.iter_mut().zip(&block).filter(|(_, byte)| **byte != 0).for_each(|(to, from)| *to = *from);
            if let Some(found) = filesystem::detect(&Sparse { offset, bytes: &random }) {
                assert_eq!(found.size % 4096, 0);
            }
        }
        let random: &mut [u8; 512] = bytes.first_chunk_mut().unwrap();
        random[..64].copy_from_slice(&samples::superblock(1, "sha256", (512, 512), 1, b"")[..64]);
        random[64..72].copy_from_slice(b"\0\x10\0\0\0\x02\0\0");
        table(random);
        random[..12].copy_from_slice(b"toehold\0\x01\0\0\0");
        random[12..28].fill(0);
        random[13] = 2;
        (random[20], random[24]) = (sections[0], sections[1]);
        seal(random);
        if let Ok(plan) = Plan::parse(random) {
            walk(&plan);
        }
        for part in bytes.chunks(64) {
            let text = [b"PARTLABEL=", part].concat();
            let _ = Spec::none().read(&text);
        }
    }
}
