//! The module pack: damaged, it is refused; where its checksum was made to fit, and where what it is unpacked from is nonsense,
//! modules come out of it soon, and have the lengths that it says.

use toehold::format::pack::{
    self, ENTRY, Group, MAGIC, STREAMS,
    module::*,
    modules::{Modules, Tables},
};

use crate::lzma::literals;
use crate::noise::noise;
use crate::target::Target;

/// A pack with one group, as it lies in the initrd.
pub const PACK: Target = Target {
    name: "pack",
    seeds: || vec![pack(&group(&modules())), pack(&noisy(1)), pack(&noisy(2))],
    fields: &PACK_FIELDS,
    words: &[],
    seal,
    check: |file| {
        for number in 0..3 {
            pack::group(file, number).map(unpack_some);
        }
    },
};

/// What a group is unpacked from, each stream behind its length in two bytes: LZMA would hide from a mutation which field it
/// changes.
pub const STREAMS_OF_A_GROUP: Target = Target {
    name: "streams",
    seeds: || vec![joined(&modules())],
    fields: &STREAM_FIELDS,
    words: &[],
    seal: |_| {},
    check: |bytes| {
        let streams = separate(bytes);
        let room = streams.iter().map(Vec::len).sum::<usize>() + FILES;
        let packed = group(&streams);
        let packed = &packed;
        assert!(unpack(Group { packed, room }).is_some());
    },
};

/// What a group is unpacked from.
pub type Streams = [Vec<u8>; STREAMS];

/// Room for modules' files; those of the samples are smaller.
const FILES: usize = 2048;
/// The most room that a damaged group gets here, so that each of many inputs is soon unpacked.
const ROOM: usize = 4 * FILES;
/// Where the first group is.
const START: usize = MAGIC.len() + ENTRY;

/// What is known of the group, and of its first streams.
const PACK_FIELDS: [(usize, usize); 15] = {
    let mut fields = [(0, 4); 15];
    let mut number = 0;
    while number < 3 {
        fields[number].0 = MAGIC.len() + 4 * number;
        number += 1;
    }
    while number < fields.len() {
        let about = START + (number / 3 - 1) * 8;
        fields[number] = [(about, 3), (about + 3, 1), (about + 4, 4)][number % 3];
        number += 1;
    }
    fields
};

/// Bytes of the layout, the first stream.
const LAYOUT_BYTES: usize = 45;

/// The lengths of the first two streams, and of the layout what every byte is, and numbers of two bytes and of five. Of the first
/// module's headers: the machine, and how many bytes of types there are.
const STREAM_FIELDS: [(usize, usize); 4 + 3 * LAYOUT_BYTES] = {
    let headers = 2 + LAYOUT_BYTES;
    let mut fields = [(0, 2); 4 + 3 * LAYOUT_BYTES];
    fields[1].0 = headers;
    fields[2] = (headers + 2 + 16, 4);
    fields[3] = (headers + 2 + HEADER as usize + 16, 4);
    let mut number = 0;
    while number < 3 * LAYOUT_BYTES {
        fields[4 + number] = (2 + number / 3, [1, 2, 5][number % 3]);
        number += 1;
    }
    fields
};

/// Packs a group.
pub fn group(streams: &Streams) -> Vec<u8> {
    let (mut about, mut data) = (Vec::new(), Vec::new());
    for stream in streams {
        let packed = literals(stream);
        about.extend((packed.len() as u32).to_le_bytes());
        about.extend((stream.len() as u32).to_le_bytes());
        data.extend(packed);
    }
    about.extend(data);
    about
}

/// A group of streams that are packed in no way: matches of all kinds come out of them.
fn noisy(seed: u64) -> Vec<u8> {
    let (mut about, mut data) = (Vec::new(), Vec::new());
    for (number, settings) in noise(seed, STREAMS).into_iter().enumerate() {
        let packed = noise(seed + 1 + number as u64, 16);
        about.extend((packed.len() as u32 | u32::from(settings) << 24).to_le_bytes());
        about.extend(200u32.to_le_bytes());
        data.extend(packed);
    }
    about.extend(data);
    about
}

/// A pack with this group, which has room for three files.
fn pack(group: &[u8]) -> Vec<u8> {
    let streams = group[..8 * STREAMS].as_chunks::<8>().0;
    let lengths = streams.iter().map(|about| word_at(about, 4) as usize);
    let room = lengths.sum::<usize>() + FILES;
    let mut pack = MAGIC.to_vec();
    for field in [START, group.len(), room, 0] {
        pack.extend((field as u32).to_le_bytes());
    }
    pack.extend(group);
    seal(&mut pack);
    pack
}

/// Gives a pack's first group the checksum that fits it.
fn seal(file: &mut [u8]) {
    if file.len() < START {
        return;
    }
    let field = |number: usize| word_at(file, MAGIC.len() + 4 * number) as usize;
    let group = file.get(field(0)..).and_then(|rest| rest.get(..field(1)));
    if let Some(group) = group {
        let checksum = crc32fast::hash(group).to_le_bytes();
        file[START - 4..START].copy_from_slice(&checksum);
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

/// Unpacks what there is room for of a group that may say that it takes any room.
fn unpack_some(group: Group) -> Option<Vec<Vec<u8>>> {
    let room = group.room.min(ROOM);
    unpack(Group { room, ..group })
}

/// Unpacks a group, and looks at more modules than there are in it. Returns the files.
fn unpack(group: Group) -> Option<Vec<Vec<u8>>> {
    let mut room = vec![0; group.room];
    let mut tables = Box::new(Tables::NONE);
    let mut modules = Modules::none(&mut tables);
    modules.unpack(group, &mut room)?;
    let mut files = Vec::new();
    for _ in 0..4 {
        let Some(file) = modules.take() else {
            break;
        };
        assert!(file.len() <= group.room);
        files.push(file.to_vec());
    }
    Some(files)
}

fn joined(streams: &Streams) -> Vec<u8> {
    let mut bytes = Vec::new();
    for stream in streams {
        bytes.extend((stream.len() as u16).to_le_bytes());
        bytes.extend(stream);
    }
    bytes
}

/// Those that have been joined; what is cut off is shorter.
fn separate(mut bytes: &[u8]) -> Streams {
    [(); STREAMS].map(|()| {
        let Some((len, rest)) = bytes.split_first_chunk() else {
            return Vec::new();
        };
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (stream, rest) = rest.split_at(len);
        bytes = rest;
        stream.to_vec()
    })
}

/// Three modules, by hand: one for x86-64 with everything that a module has, one for aarch64, and one packed as it is.
fn modules() -> Streams {
    let mut streams = [const { Vec::new() }; STREAMS];
    let mut put = |stream: u32, bytes: &[u8]| streams[stream as usize].extend(bytes);
    let class = |class: u32| RELOCATIONS + 2 * class;
    put(
        LAYOUT,
        &file(
            1225,
            &[
                &[HEADERS, 64],
                &[CODE, 32],
                &[TYPES, 72],
                &[NAMES, 72, 16],
                &[TEXT, 24],
                &[LAYOUT, 232],
                &[FLAGS, 48, 64],
                &[TABLES + CLASS, 24],
                &[LAYOUT, 56],
                &[HEADERS, 9 * 64],
                &[DATA, 9],
            ],
        ),
    );
    put(HEADERS, &elf_header(62, 640, 9));
    put(CODE, b"\xE8\0\0\0\0\x48\x8B\x05\0\0\0\0");
    put(CODE, &[0x90; 20]);
    // A call (type 4) of symbol 1 and an address (type 2) of symbol 2, both 4 less.
    put(FLAGS, &[4, 2]);
    put(RELOCATIONS, &[0]);
    put(class(1) + SYMBOLS, &[1]);
    put(class(1) + ADDENDS, &[7]);
    put(class(0) + SYMBOLS, &[2]);
    put(class(0) + ADDENDS, &[7]);
    // A structure with a member, and a pointer to it; the kernel has 100 types and 1000 bytes of strings.
    put(HEADERS, &words(&[0x0001_EB9F, 24, 0, 36, 36, 12]));
    put(HEADERS, &words(&[100, 1000]));
    put(TYPES, &words(&[1, 4 << 24 | 1, 8]));
    put(TYPES, &words(&[1, 5, 0]));
    put(TYPES, &words(&[0, 2 << 24, 3]));
    put(TEXT, b"\0unit\0next\0\0");
    // The second of three classes: the place 4, of type 2.
    put(TABLES + CLASS, &[4, 2]);
    put(TABLES + CLASS + SYMBOLS, &[1]);
    put(TABLES + CLASS + ADDENDS, &[16]);
    put(TEXT, b"\0start\0printk\0\0\0");
    put(NAMES, &[0, 1, 1]);
    put(INFO, &words(&[0, 1 << 16 | 0x12, 0x10]));
    put(VALUES, &[0, 0, 0]);
    put(SIZES, &[0, 32, 0]);
    put(TEXT, b"\0.text\0.BTF\0.rela.text\0\0");
    put(HEADERS, &[0; 64]);
    put(HEADERS, &words(&[3; 16 * 8]));
    put(DATA, b"signature");

    put(
        LAYOUT,
        &file(
            320,
            &[
                &[HEADERS, 64],
                &[CODE, 8],
                &[LAYOUT, 8],
                &[FLAGS, 48, 64],
                &[HEADERS, 3 * 64],
            ],
        ),
    );
    put(HEADERS, &elf_header(183, 128, 3));
    // A call (type 283) of symbol 3, and in the next instruction an address (type 258) that its bits do not tell: its place plus one.
    put(CODE, &words(&[0x9400_0000, 0xFFFF_FFFF]));
    put(RELOCATIONS, &[5, 0]);
    put(FLAGS, &[27, 2]);
    put(class(2) + SYMBOLS, &[3]);
    put(class(2) + ADDENDS, &[0]);
    put(class(0) + SYMBOLS, &[3]);
    put(class(0) + ADDENDS, &[2]);
    put(HEADERS, &words(&[4; 3 * 16]));

    put(LAYOUT, &file(5, &[&[DATA, 5]]));
    put(DATA, b"whole");
    streams
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The layout of a file of so many bytes with these pieces: of each what it is, and numbers.
fn file(len: u32, pieces: &[&[u32]]) -> Vec<u8> {
    let mut layout = number(len);
    for piece in pieces {
        layout.extend(piece.iter().copied().flat_map(number));
    }
    layout
}

/// A number as streams have it.
fn number(mut rest: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// The ELF header of a file for this machine, with so many section headers there.
fn elf_header(machine: u32, headers: u32, count: u32) -> Vec<u8> {
    let mut header = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend(words(&[machine << 16 | 1, 1, 0, 0, 0, 0, headers, 0, 0]));
    header.extend(words(&[64, 64 << 16, count]));
    header
}

#[test]
fn what_modules_of_a_pack_are() {
    let pack = pack(&group(&modules()));
    let files = unpack(pack::group(&pack, 0).unwrap()).unwrap();
    let [first, arm, whole, ..] = files.as_slice() else {
        panic!("{} modules", files.len());
    };
    assert_eq!((first.len(), arm.len()), (1225, 320));
    assert_eq!(whole, b"whole");
    let record = |place: u64, kind: u32, symbol: u32, addend: i64| {
        let info = words(&[kind, symbol]);
        [&place.to_le_bytes()[..], &info, &addend.to_le_bytes()].concat()
    };
    let symbol = |name: u32, info: u32, size: u64| {
        [&words(&[name, info])[..], &[0; 8], &size.to_le_bytes()].concat()
    };
    for (at, want) in [
        (0, elf_header(62, 640, 9)),
        (64, b"\xE8\0\0\0\0\x48\x8B\x05\0\0\0\0\x90".to_vec()),
        (96, words(&[0x0001_EB9F, 24, 0, 36, 36, 12])),
        (120, words(&[1001, 4 << 24 | 1, 8, 1006, 101, 0])),
        (144, words(&[0, 2 << 24, 100])),
        (156, b"\0unit\0next\0\0".to_vec()),
        (168, symbol(0, 0, 0)),
        (192, symbol(1, 1 << 16 | 0x12, 32)),
        (216, symbol(7, 0x10, 0)),
        (240, b"\0start\0printk\0\0\0\0.text\0".to_vec()),
        (280, vec![0; 232]),
        (512, record(1, 4, 1, -4)),
        (536, record(8, 2, 2, -4)),
        (560, record(4, 2, 1, 4)),
        (584, vec![0; 56 + 64]),
        (640 + 64, words(&[3; 16 * 8])),
        (640 + 9 * 64, b"signature".to_vec()),
    ] {
        assert_eq!(first[at..][..want.len()], want, "at {at}");
    }
    assert_eq!(arm[..64], elf_header(183, 128, 3));
    assert_eq!(arm[72..80], [0; 8]);
    assert_eq!(arm[128..], words(&[4; 3 * 16]));
    assert_eq!(arm[64..72], words(&[0x9400_0000, 0xFFFF_FFFF]));
    let want = [record(0, 283, 3, 0), record(4, 258, 3, 1)].concat();
    assert_eq!(arm[80..128], want);
}

/// So that mutations change what they are meant to.
#[test]
fn bytes_of_the_layout() {
    assert_eq!(modules()[LAYOUT as usize].len(), LAYOUT_BYTES);
}

/// Only the room and what tells people the format are not in the checksum: too little room is none.
#[test]
fn damaged_packs_are_refused() {
    let good = pack(&group(&modules()));
    let room = START - 8..START - 4;
    let mut damaged = good.clone();
    for bit in 0..good.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        let found = pack::group(&damaged, 0);
        let is_without = bit / 8 < MAGIC.len() || room.contains(&(bit / 8));
        assert_eq!(found.is_some(), is_without, "bit {bit}");
        // The same with the checksum that fits.
        let mut sealed = damaged.clone();
        seal(&mut sealed);
        pack::group(&sealed, 0).map(unpack_some);
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    let whole = pack::group(&good, 0).unwrap();
    for len in 0..good.len() {
        assert_eq!(pack::group(&good[..len], 0), None, "{len} bytes");
        let packed = whole.packed.get(..len).unwrap_or(whole.packed);
        unpack(Group { packed, ..whole });
    }
    assert_eq!(pack::group(&good, 1).map(unpack_some), None);
    for room in 0..whole.room - FILES {
        assert_eq!(unpack(Group { room, ..whole }), None, "{room} bytes");
    }
}
