//! Modules that no compiler makes, or seldom: taken apart or packed as they are, they come back unchanged.

mod file;

use toehold::format::pack::{
    Group,
    module::*,
    modules::{Modules, Tables},
};
use toehold_samples::pack::group;

use self::file::*;
use super::back_from;
use crate::pack::{
    SHIPPED,
    apart::{Apart, Bases},
    different, encode,
};

/// Packs files as one group. Returns how many were packed as they are.
fn packed_whole(files: &[&[u8]]) -> usize {
    let packed = encode(&[files.to_vec()], SHIPPED, &|_, make| make()).unwrap();
    let group = Group {
        packed: &packed[0].bytes,
        room: packed[0].room,
    };
    assert_eq!(back_from(group, files.len()), files);
    packed[0].whole
}

/// Files that are taken apart, each with what is odd about it.
fn taken_apart() -> Vec<(&'static str, Vec<u8>)> {
    let (amd, aarch) = (Odd::amd(), Odd::aarch());
    let amd_at = |relocations: &[[u64; 4]]| amd.clone().relocated(relocations).file();
    let aarch_at = |relocations: &[[u64; 4]]| aarch.clone().relocated(relocations).file();
    let btf = |words: &[u32]| amd.clone().typed(types(words)).file();
    let btf_header = |words: &[u32]| {
        let mut bytes = types(&TYPE_WORDS);
        bytes[..4 * words.len()].copy_from_slice(&self::words(words));
        amd.clone().typed(bytes).file()
    };
    let call = [2, 4, 3, FOUR_LESS];
    vec![
        ("nothing", amd.file()),
        ("descending", amd_at(&[[16, 2, 2, 60], [9, 2, 1, 0], call])),
        ("twice at one place", amd_at(&[call, [2, 2, 1, 0]])),
        ("overlapping places", amd_at(&[call, [4, 2, 1, 0]])),
        ("none relocated", amd_at(&[])),
        (
            "not at zeros",
            amd_at(&[[0, 1, 1, 3], call, [22, 10, 1, 0]]),
        ),
        ("zeros filled", amd.clone().with(TEXT_SECTION, 3, 7).file()),
        ("type NONE", amd_at(&[[2, 0, 0, 0], [9, 0, 3, 5]])),
        (
            "types of 8 bits",
            amd_at(&[[2, 253, 1, 0], [9, 254, 1, 0], [16, 255, 1, 0]]),
        ),
        ("a type of 32 bits", amd_at(&[[2, 0xFFFF_FFFF, 1, 0]])),
        ("a symbol of 32 bits", amd_at(&[[2, 4, 0xFFFF_FFFF, 0]])),
        ("at the end", amd_at(&[[33, 4, 3, 0]])),
        ("over the end", amd_at(&[[35, 4, 3, 0]])),
        (
            "behind the end",
            amd_at(&[[5000, 4, 3, 0], [0xFFFF_FFFF, 4, 3, 0]]),
        ),
        ("a place over 32 bits", amd_at(&[[1 << 32, 4, 3, 0]])),
        (
            "addends of 32 bits",
            amd_at(&[[2, 4, 3, 0x7FFF_FFFF], [9, 4, 3, !0x7FFF_FFFF]]),
        ),
        ("an addend over 32 bits", amd_at(&[[2, 4, 3, 1 << 31]])),
        ("aarch64", aarch.file()),
        (
            "aarch64 descending",
            aarch_at(&[[8, 283, 3, 0], [0, 275, 1, 8]]),
        ),
        (
            "aarch64 between instructions",
            aarch_at(&[[0, 275, 1, 8], [6, 283, 3, 0]]),
        ),
        (
            "aarch64 at the last instruction",
            aarch_at(&[[8, 283, 3, 0], [12, 258, 1, 2]]),
        ),
        (
            "aarch64 type NONE",
            aarch_at(&[[0, 0, 0, 0], [8, 256, 0, 0]]),
        ),
        (
            "aarch64 types",
            aarch_at(&[[0, 509, 1, 0], [4, 510, 1, 0], [8, 511, 1, 0]]),
        ),
        (
            "aarch64 immediates filled",
            aarch.clone().with(TEXT_SECTION, 5, 0x40).file(),
        ),
        ("headers first", amd.file_with_headers_behind(0)),
        ("headers in the middle", amd.file_with_headers_behind(4)),
        (
            "headers in the middle, aarch64",
            aarch.file_with_headers_behind(2),
        ),
        ("code over relocations", amd.longer(TEXT_SECTION, 40)),
        ("relocations over types", amd.longer(RELA_SECTION, 24)),
        ("types over relocations", amd.longer(BTF_SECTION, 21)),
        ("names over others", amd.longer(NAMES_SECTION, 9)),
        (
            "unknown type",
            btf(&[1001, 25 << 24 | 3, 100, 0, 1 << 24, 4, 7]),
        ),
        ("type cut off", btf(&TYPE_WORDS[..5])),
        (
            "types of kernels only",
            btf(&[1, 8 << 24, 2, 7, 9 << 24, 0]),
        ),
        (
            "types beyond 31 bits",
            btf(&[0, 8 << 24, u32::MAX, u32::MAX, 8 << 24, 1]),
        ),
        ("no types", btf(&[])),
        (
            "types behind strings",
            btf_header(&[0x0001_EB9F, 24, 11, 36, 0, 11]),
        ),
        (
            "types that are not in words",
            btf_header(&[0x0001_EB9F, 24, 0, 36, 35, 11]),
        ),
        (
            "types beyond the section",
            btf_header(&[0x0001_EB9F, 24, 0, 36, 5000, 11]),
        ),
        (
            "BTF cut off",
            amd.clone().typed(types(&[])[..20].to_vec()).file(),
        ),
        (
            "an address of 32 bits",
            amd.with_header(TEXT_SECTION, ADDRESS, &[0xB8, 0, 0, 0x80]),
        ),
        (
            "no alignment",
            amd.with_header(TEXT_SECTION, ALIGN, &[0; 8]),
        ),
        ("alignment to 3", amd.with_header(BTF_SECTION, ALIGN, &[3])),
        (
            "alignment over 32 bits",
            amd.with_header(BTF_SECTION, ALIGN, &[0, 0, 0, 0, 1]),
        ),
    ]
}

/// Files of which a part is not as expected: it is told as it is, and the rest is taken apart.
fn in_part() -> Vec<(&'static str, Vec<u8>)> {
    let amd = Odd::amd();
    let symbol = |at, byte| amd.clone().with(SYMBOLS_SECTION, at, byte).file();
    vec![
        ("a value over 32 bits", symbol(24 + 8 + 4, 1)),
        ("a size over 32 bits", symbol(24 + 16 + 7, 0x80)),
        ("a name beyond 31 bits", symbol(24 + 3, 0x80)),
        (
            "a first header with something in it",
            amd.with_header(0, SIZE, &[1]),
        ),
        (
            "an address over 32 bits",
            amd.with_header(TEXT_SECTION, ADDRESS + 7, &[1]),
        ),
        (
            "a section beyond the end",
            amd.with_header(BTF_SECTION, SIZE + 3, &[1]),
        ),
        ("symbols over names", amd.longer(SYMBOLS_SECTION, 16)),
        (
            "names in no section",
            amd.with_header(SYMBOLS_SECTION, LINK, &[99]),
        ),
        (
            "names in the symbols",
            amd.with_header(SYMBOLS_SECTION, LINK, &[5]),
        ),
        (
            "a name beyond the names",
            amd.with_header(TEXT_SECTION, 3, &[1]),
        ),
        ("something between sections", {
            let mut file = amd.file();
            let after = 64 + amd.part_bytes(TEXT_SECTION).len();
            file[after] = 1;
            file
        }),
        ("a section over the ELF header", {
            amd.with_header(TEXT_SECTION, OFFSET, &[20])
        }),
        ("sections over the section headers", {
            let mut file = amd.file_with_headers_behind(4);
            let table = header(&file, 0) as u64;
            let at = header(&file, BTF_SECTION) + OFFSET;
            file[at..at + 8].copy_from_slice(&(table + 100).to_le_bytes());
            file
        }),
    ]
}

/// Files that are packed as they are.
fn as_they_are() -> Vec<(&'static str, Vec<u8>)> {
    let amd = Odd::amd();
    let changed = |at: usize, byte: u8| {
        let mut file = amd.file();
        file[at] = byte;
        file
    };
    vec![
        ("32 bits", changed(4, 1)),
        ("big endian", changed(5, 2)),
        ("no ELF", changed(0, 0)),
        ("no such names of sections", changed(62, 99)),
        ("more sections than there are", changed(61, 1)),
        ("headers beyond the end", changed(44, 1)),
        (
            "a section over 32 bits",
            amd.with_header(BTF_SECTION, OFFSET + 4, &[1]),
        ),
    ]
}

/// A file, taken apart by itself.
fn apart(file: &[u8]) -> Apart {
    let mut apart = Apart::new(Bases::of([file].into_iter()));
    apart.add(file, false);
    apart
}

/// The pieces of a file: of each what it is, and how long.
fn pieces(file: &[u8]) -> Vec<(u32, u32)> {
    let streams = apart(file).streams;
    let mut layout = streams[LAYOUT as usize].iter();
    let mut number = || {
        let (mut value, mut shift) = (0, 0);
        for byte in layout.by_ref() {
            value |= u32::from(byte & 0x7F) << shift;
            shift += 7;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    assert_eq!(number(), Some(file.len() as u32));
    let mut pieces = Vec::new();
    while let Some(content) = number() {
        pieces.push((content, number().unwrap()));
        if matches!(content, FLAGS | NAMES) {
            number().unwrap();
        }
    }
    let lengths = pieces.iter().map(|(_, len)| *len);
    assert!(lengths.sum::<u32>() <= file.len() as u32);
    pieces
}

/// What a module is made of, from its first byte to its last one.
#[test]
fn pieces_of_a_module() {
    const OTHERS: u32 = TABLES + 2 * CLASS;
    let mut expected = vec![
        (HEADERS, 64),
        (CODE, 37),
        (LAYOUT, 3),
        (FLAGS, 72),
        (TYPES, 71),
        (LAYOUT, 1),
        (TABLES + CLASS, 48),
        (NAMES, 96),
        // Behind the names of symbols, .modinfo and the names of sections.
        (LAYOUT, 6),
        (TEXT, 99),
        // The first header is zero.
        (LAYOUT, 5 + 64),
    ];
    // Name, type and flags of a section; address, offset and size; the rest, and what the next one begins with.
    expected.push((HEADERS, 16));
    expected.extend(
        [
            (NAMES, 24),
            (HEADERS, 24 + 8),
            (OTHERS, 24),
            (HEADERS, 32 + 16),
        ]
        .repeat(2),
    );
    expected.extend([(NAMES, 24), (HEADERS, 24 + 16)].repeat(4));
    expected.extend([(NAMES, 24), (HEADERS, 24), (DATA, 9)]);
    assert_eq!(pieces(&Odd::amd().file()), expected);
}

#[test]
fn odd_modules_are_taken_apart() {
    let odd = [taken_apart(), in_part()].concat();
    for (what, file) in &odd {
        assert_eq!(packed_whole(&[file]), 0, "{what}");
    }
    // Each leaves something behind for the next one.
    let files: Vec<&[u8]> = odd.iter().map(|(_, file)| file.as_slice()).collect();
    assert_eq!(packed_whole(&files), 0);
}

#[test]
fn odder_modules_are_packed_as_they_are() {
    let odd = as_they_are();
    for (what, file) in &odd {
        assert_eq!(packed_whole(&[file]), 1, "{what}");
    }
    let files: Vec<&[u8]> = odd.iter().map(|(_, file)| file.as_slice()).collect();
    assert_eq!(packed_whole(&files), files.len());
}

/// Whatever a file is, it comes back from being taken apart, and so does one that is not.
#[test]
fn every_bit_of_modules_flipped() {
    let mut not_understood = 0;
    let mut bits = 0;
    for mut file in [Odd::amd().file(), Odd::aarch().file_with_headers_behind(3)] {
        for bit in 0..file.len() * 8 {
            bits += 1;
            file[bit / 8] ^= 1 << (bit % 8);
            let bases = Bases::of([file.as_slice()].into_iter());
            for whole in [false, true] {
                let mut apart = Apart::new(bases);
                apart.add(&file, whole);
                not_understood += apart.whole;
                let streams = apart.streams.iter().map(Vec::len).sum::<usize>();
                let mut room = vec![0; streams + file.len()];
                let group = Group {
                    packed: &group(&apart.streams),
                    room: room.len(),
                };
                let mut tables = Box::new(Tables::NONE);
                let mut modules = Modules::none(&mut tables);
                modules.unpack(group, &mut room).unwrap();
                assert!(modules.take() == Some(file.as_slice()), "bit {bit}");
            }
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
    assert!(not_understood > 0, "nothing was odd");
    assert!(not_understood < bits / 2, "{not_understood} of {bits}");
}

/// Places come from the code where they ascend, and from a table else.
#[test]
fn how_relocations_are_told() {
    let call = [2, 4, 3, FOUR_LESS];
    for (relocations, is_by_code) in [
        (vec![call, [9, 2, 1, 0]], true),
        (vec![], true),
        (vec![[9, 2, 1, 0], call], false),
        (vec![call, call], false),
    ] {
        let mut odd = Odd::amd().relocated(&relocations);
        // Others are in the first class of tables, too.
        odd.part(BTF_SECTION + 1).bytes.clear();
        let file = odd.file();
        let streams = apart(&file).streams;
        let len = |stream: u32| streams[stream as usize].len();
        assert_eq!(len(FLAGS) > 0, is_by_code && !relocations.is_empty());
        assert_eq!(len(TABLES) > 0, !is_by_code);
        // Symbols and types are taken apart in any case.
        let pieces = pieces(&file);
        let count = |content| pieces.iter().filter(|(of, _)| *of == content).count();
        assert_eq!(count(FLAGS) > 0, is_by_code && !relocations.is_empty());
        assert_eq!((count(TABLES), count(TYPES)), (usize::from(!is_by_code), 1));
        assert!(pieces.contains(&(NAMES, 4 * RECORD)));
    }
}

/// A table of symbols is told as it is where one of them cannot be, or where their names are not behind it.
#[test]
fn how_symbols_are_told() {
    let in_part = in_part();
    for what in [
        "a value over 32 bits",
        "a size over 32 bits",
        "a name beyond 31 bits",
        "symbols over names",
        "names in no section",
        "names in the symbols",
    ] {
        let (_, file) = in_part.iter().find(|(of, _)| *of == what).unwrap();
        let pieces = pieces(file);
        let symbols = |(of, len): &&(u32, u32)| *of == NAMES && *len != RECORD;
        assert_eq!(pieces.iter().find(symbols), None, "{what}");
        let has = |content| pieces.iter().any(|(of, _)| *of == content);
        assert!(has(FLAGS) && has(TYPES) && has(TEXT), "{what}");
    }
}

/// The builder notices what does not come back.
#[test]
fn what_differs_is_seen() {
    let (amd, aarch) = (Odd::amd().file(), Odd::aarch().file());
    let files = [amd.as_slice(), &aarch];
    let packed = encode(&[files.to_vec()], SHIPPED, &|_, make| make()).unwrap();
    assert_eq!(different(&files, &packed[0]).unwrap(), None);
    for bit in [0, 500, amd.len() * 8 - 1] {
        let mut changed = amd.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(different(&[&changed, &aarch], &packed[0]).unwrap(), Some(0));
        assert_eq!(different(&[&amd, &changed], &packed[0]).unwrap(), Some(1));
    }
}
