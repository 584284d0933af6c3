//! What a piece costs: how much smaller the packed bytes are without it.

use std::{ops::Range, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread};

use anyhow::Result;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// How costs are measured.
#[derive(Clone, Copy)]
pub struct Measure {
    /// zstd's level.
    pub level: i32,
    /// Bytes on both sides of a piece that are packed with it; what is farther away has little in common with it.
    pub around: usize,
}

impl Measure {
    /// For few bytes: exactly what `zstd -19` makes of them.
    pub const EXACT: Self = Self {
        level: 19,
        around: usize::MAX,
    };
    /// For many: a fast level on the piece and 2 MiB around it, in proportion to what the whole takes.
    pub const FAST: Self = Self {
        level: 3,
        around: 2 << 20,
    };
}

/// The cost of each piece of `bytes`, which take `packed` bytes when they are packed. A piece is the places where it lies, ascending.
pub fn costs(
    bytes: &[u8],
    packed: u64,
    pieces: &[Vec<Range<usize>>],
    measure: Measure,
) -> Result<Vec<u64>> {
    let whole = Packer::new(measure.level)?.packed(bytes)?;
    let factor = packed as f64 / whole as f64;
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, u64)>> {
        let mut packer = Packer::new(measure.level)?;
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(ranges) = pieces.get(number) else {
                return Ok(found);
            };
            let near = around(ranges, measure.around, bytes.len());
            let with = match near.as_slice() {
                [all] if all.len() == bytes.len() => whole,
                near => packer.packed(&join(bytes, near))?,
            };
            let without = packer.packed(&join(bytes, &minus(&near, ranges)))?;
            let cost = with.saturating_sub(without) as f64 * factor;
            found.push((number, cost.round() as u64));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found: Result<Vec<_>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    });
    let mut costs = vec![0; pieces.len()];
    for (number, cost) in found?.into_iter().flatten() {
        costs[number] = cost;
    }
    Ok(costs)
}

struct Packer(Compressor<'static>);

impl Packer {
    fn new(level: i32) -> Result<Self> {
        let mut compressor = Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    fn packed(&mut self, bytes: &[u8]) -> Result<u64> {
        Ok(self.0.compress(bytes)?.len() as u64)
    }
}

/// The ranges with so many bytes more on both sides of each, within `end`; joined where they meet.
fn around(ranges: &[Range<usize>], bytes: usize, end: usize) -> Vec<Range<usize>> {
    let mut wider: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let start = range.start.saturating_sub(bytes);
        let end = range.end.saturating_add(bytes).min(end);
        match wider.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => wider.push(start..end),
        }
    }
    wider
}

/// What of `all` is not in `holes`; both ascending, every hole inside one of `all`.
fn minus(all: &[Range<usize>], holes: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut left = Vec::new();
    for range in all {
        let mut start = range.start;
        for hole in holes
            .iter()
            .filter(|hole| range.start <= hole.start && hole.end <= range.end)
        {
            left.push(start..hole.start);
            start = hole.end;
        }
        left.push(start..range.end);
    }
    left
}

fn join(bytes: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let parts = ranges.iter().filter_map(|range| bytes.get(range.clone()));
    parts.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use toehold_samples::noise::noise;

    use super::*;

    #[test]
    fn what_is_there_twice_costs_nothing_and_noise_its_length() {
        let (one, other) = (noise(1, 3000), noise(2, 2000));
        let bytes = [&one[..], &other, &one, &[0; 5000]].concat();
        let both = vec![0..3000, 5000..8000];
        let [first, alone, second, zeros] =
            [0..3000, 3000..5000, 5000..8000, 8000..13000].map(|range| vec![range]);
        let pieces = [first, alone, second, both, zeros, Vec::new()];
        for measure in [
            Measure::EXACT,
            Measure {
                around: 6000,
                ..Measure::FAST
            },
        ] {
            let packed = Packer::new(measure.level).unwrap().packed(&bytes).unwrap();
            let costs = costs(&bytes, packed, &pieces, measure).unwrap();
            let [first, alone, second, both, zeros, nothing] = costs[..] else {
                panic!("{costs:?}")
            };
            assert!(
                first < 30 && second < 30 && zeros < 30 && nothing == 0,
                "{costs:?}"
            );
            assert!(
                (1950..2060).contains(&alone) && (2950..3080).contains(&both),
                "{costs:?}"
            );
        }
    }

    #[test]
    fn ranges() {
        let list = |text: &str| -> Vec<Range<usize>> {
            let parse = |part: &str| {
                let (start, end) = part.split_once('-').unwrap();
                start.parse().unwrap()..end.parse().unwrap()
            };
            text.split_whitespace().map(parse).collect()
        };
        assert_eq!(around(&list("10-20 40-50"), 5, 52), list("5-25 35-52"));
        assert_eq!(around(&list("10-20 40-50"), 15, 60), list("0-60"));
        assert_eq!(
            minus(&list("0-60"), &list("10-20 40-60")),
            list("0-10 20-40 60-60")
        );
        assert_eq!(
            minus(&list("0-30 50-90"), &list("60-70")),
            list("0-30 50-60 70-90")
        );
    }
}
