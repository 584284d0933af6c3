//! Writes the module pack; `toehold::format::pack` describes the format, and reads it.

mod apart;
mod decode;
mod elf;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use liblzma::stream::{Filters, LzmaOptions, Stream};
use serde::{Deserialize, Serialize};
use toehold::format::{
    crc32::crc32,
    pack::{
        BEHIND, ENTRY, Group, MAGIC, STREAMS,
        module::*,
        modules::{Modules, Tables},
    },
};

use apart::{Apart, Bases};
pub use decode::{Unpacked, decode};

/// LZMA's lc, and lp and pb, that a stream is tried with: for code; for text; for numbers, whose bytes say in their highest bit
/// whether another one follows; and for records of one, two, four and sixteen bytes.
const BY_CONTEXT: (u32, u32) = (4, 0);
const LETTERS: (u32, u32) = (3, 0);
const NUMBERS: (u32, u32) = (1, 0);
const BYTES: (u32, u32) = (0, 0);
const HALVES: (u32, u32) = (1, 1);
const WORDS: (u32, u32) = (0, 2);
const RECORDS: (u32, u32) = (0, 4);
/// From so many bytes on a stream is packed once, with what is best for most of its kind.
const LARGE: usize = 1 << 20;

/// A group, packed.
#[derive(Serialize, Deserialize)]
pub struct Packed {
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Bytes that it takes to unpack it.
    pub room: usize,
    /// What each module takes of the packed bytes: its part of each stream.
    pub shares: Vec<usize>,
    /// Modules that are packed as they are, because they do not come back from being taken apart.
    pub whole: usize,
}

/// Packs a group of files, or finds what they were packed to before.
pub type Keep<'a> = &'a (dyn Fn(&[&[u8]], Make) -> Result<Packed> + Sync);
/// Packs the group.
pub type Make<'a> = &'a dyn Fn() -> Result<Packed>;

/// LZMA's level for what ships: the best, `-9e`.
pub const SHIPPED: u32 = 9 | 1 << 31;

/// Packs groups of modules' files, not compressed, at this level of LZMA: the same bytes for the same files.
pub fn encode(groups: &[Vec<&[u8]>], level: u32, keep: Keep) -> Result<Vec<Packed>> {
    let bases = Bases::of(groups.iter().flatten().copied());
    let next = AtomicUsize::new(0);
    let packed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(files) = groups.get(number)
                {
                    let group = keep(files, &|| group(files, bases, level));
                    packed.lock().expect("no panic").push((number, group));
                }
            });
        }
    });
    let mut packed = packed.into_inner().expect("no panic");
    packed.sort_by_key(|(number, _)| *number);
    packed.into_iter().map(|(_, group)| group).collect()
}

/// The pack that has these groups.
pub fn write(packed: &[Packed]) -> Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let mut offset = MAGIC.len() + packed.len() * ENTRY;
    for group in packed {
        for field in [offset, group.bytes.len(), group.room] {
            let field = u32::try_from(field).context("a pack takes more than 4 GiB")?;
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(crc32(&group.bytes).to_le_bytes());
        offset += group.bytes.len();
    }
    for group in packed {
        bytes.extend(&group.bytes);
    }
    Ok(bytes)
}

/// Packs the files of one group, and sees that they come back unchanged.
fn group(files: &[&[u8]], bases: Bases, level: u32) -> Result<Packed> {
    let mut whole = BTreeSet::new();
    loop {
        let mut apart = Apart::new(bases);
        let mut ends = Vec::new();
        for (number, file) in files.iter().enumerate() {
            apart.add(file, whole.contains(&number));
            ends.push(apart.streams.each_ref().map(Vec::len));
        }
        let files_bytes = files.iter().map(|file| file.len()).sum::<usize>();
        let mut packed = pack_streams(&apart.streams, &ends, level)?;
        packed.room += files_bytes;
        packed.whole = whole.len() + apart.whole;
        match different(files, &packed)? {
            None => return Ok(packed),
            Some(number) => ensure!(
                whole.insert(number),
                "a module does not come back from the pack"
            ),
        }
    }
}

/// The first file that a group does not give back.
fn different(files: &[&[u8]], packed: &Packed) -> Result<Option<usize>> {
    let (mut room, mut tables) = (vec![0; packed.room], Tables::NONE);
    let group = Group {
        packed: &packed.bytes,
        room: packed.room,
    };
    let mut modules = Modules::none(&mut tables);
    let unpacked = modules.unpack(group, &mut room);
    unpacked.context("a group does not come back from the pack")?;
    Ok(files.iter().position(|file| modules.take() != Some(file)))
}

/// Packs the streams of modules, each of which `ends` there in each stream.
fn pack_streams(streams: &[Vec<u8>], ends: &[[usize; STREAMS]], level: u32) -> Result<Packed> {
    let mut packed = Packed {
        bytes: Vec::new(),
        room: streams.iter().map(Vec::len).sum::<usize>() + BEHIND,
        shares: vec![0; ends.len()],
        whole: 0,
    };
    let mut data = Vec::new();
    for (number, stream) in streams.iter().enumerate() {
        let (settings, bytes) = best(number, stream, level)?;
        ensure!(bytes.len() < 1 << 24, "a group takes more than 16 MiB");
        let first = bytes.len() as u32 | settings << 24;
        packed.bytes.extend(first.to_le_bytes());
        packed.bytes.extend((stream.len() as u32).to_le_bytes());
        let mut start = 0;
        for (share, ends) in packed.shares.iter_mut().zip(ends) {
            *share += bytes.len() * (ends[number] - start) / stream.len().max(1);
            start = ends[number];
        }
        data.extend(bytes);
    }
    packed.bytes.extend(data);
    Ok(packed)
}

/// A stream, packed as well as any of the settings does it.
fn best(number: usize, stream: &[u8], level: u32) -> Result<(u32, Vec<u8>)> {
    let settings = match number as u32 {
        TEXT => &[LETTERS][..],
        CODE => &[BY_CONTEXT],
        TYPES => &[WORDS],
        HEADERS => &[WORDS, RECORDS],
        INFO => &[WORDS, HALVES],
        UNWINDING => &[HALVES, BYTES],
        FLAGS => &[BY_CONTEXT, NUMBERS],
        DATA if stream.len() >= LARGE => &[LETTERS],
        DATA => &[LETTERS, BYTES],
        _ => &[NUMBERS, BYTES, BY_CONTEXT],
    };
    let mut best: Option<(u32, Vec<u8>)> = None;
    for settings in settings {
        let packed = lzma(stream, *settings, level)?;
        if best
            .as_ref()
            .is_none_or(|(_, best)| packed.len() < best.len())
        {
            let (context, position) = *settings;
            best = Some((context | ((1 << position) - 1) << 4, packed));
        }
    }
    best.context("no settings")
}

/// Raw LZMA.
fn lzma(bytes: &[u8], (context, position): (u32, u32), level: u32) -> Result<Vec<u8>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut options = LzmaOptions::new_preset(level)?;
    options
        .literal_context_bits(context)
        .literal_position_bits(position)
        .position_bits(position)
        .nice_len(273)
        .dict_size((bytes.len() as u32).next_power_of_two().max(4096));
    let mut filters = Filters::new();
    filters.lzma1(&options);
    let stream = Stream::new_raw_encoder(&filters)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
