mod odd;

use toehold::format::pack::lzma::{Probabilities, decode};
use toehold_samples::noise::noise;

use super::*;

/// What comes out of a group of a pack: so many modules.
fn back(pack: &[u8], number: usize, count: usize) -> Vec<Vec<u8>> {
    back_from(toehold::format::pack::group(pack, number).unwrap(), count)
}

fn back_from(group: Group, count: usize) -> Vec<Vec<u8>> {
    let (mut room, mut tables) = (vec![0; group.room], Box::new(Tables::NONE));
    let mut modules = Modules::none(&mut tables);
    modules.unpack(group, &mut room).unwrap();
    (0..count)
        .map(|_| modules.take().unwrap().to_vec())
        .collect()
}

#[test]
fn what_is_no_module_comes_back() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut cut = program[..5000].to_vec();
    // Where the section headers are: beyond the end, at the end, and over the header.
    let mut files = vec![Vec::new(), b"\x7FELF\x02\x01".to_vec(), cut.clone()];
    for table in [5000u64, 0, 32, 4990, u64::MAX] {
        cut[40..48].copy_from_slice(&table.to_le_bytes());
        files.push(cut.clone());
    }
    let groups = vec![
        files.iter().map(Vec::as_slice).collect(),
        vec![&[1][..]],
        vec![],
    ];
    let encode = || write(&encode(&groups, SHIPPED, &|_, make| make()).unwrap()).unwrap();
    let pack = encode();
    assert_eq!(back(&pack, 0, files.len()), files);
    assert_eq!(back(&pack, 1, 1), [[1]]);
    assert_eq!(toehold::format::pack::group(&pack, 3), None);
    assert_eq!(encode(), pack);
}

/// What liblzma packs is unpacked, with all settings that a stream is tried with: short and long matches, near and far, repeated
/// ones, and none at all.
#[test]
fn lzma_comes_back() {
    let mut inputs = vec![vec![], vec![0], vec![0xFF], b"ab".to_vec()];
    for len in [3, 17, 18, 272, 273, 274, 5000] {
        inputs.push(vec![b'a'; len]);
        inputs.push(noise(len as u64, len));
    }
    let far = noise(1, 300_000);
    inputs.push([&far[..], &far, &far[..1000], &far[299_000..]].concat());
    for period in [2, 3, 4, 7, 24, 300] {
        let record = noise(period, period as usize);
        let mut records = record.repeat(20_000 / record.len());
        inputs.push(records.clone());
        // What is repeated differs in a byte here and there, so that the same distance comes back behind literals.
        for at in (5..records.len()).step_by(13) {
            records[at] ^= 0x55;
        }
        inputs.push(records);
    }
    inputs.push(
        (0..20_000u32)
            .flat_map(|word| (word * 24).to_le_bytes())
            .collect(),
    );
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    inputs.push(program[..500_000].to_vec());
    let mut probabilities = Box::new(Probabilities::NONE);
    for (number, input) in inputs.iter().enumerate() {
        for settings in [BY_CONTEXT, LETTERS, NUMBERS, BYTES, HALVES, WORDS, RECORDS] {
            let packed = lzma(input, settings, SHIPPED).unwrap();
            let (context, position) = settings;
            let mut unpacked = vec![0xA5; input.len()];
            decode(
                &packed,
                context | ((1 << position) - 1) << 4,
                &mut unpacked,
                &mut probabilities,
            );
            assert!(unpacked == *input, "input {number} with {settings:?}");
        }
    }
}
