//! The order in which files compress best: each behind the one that it shares most with.

/// Files are compared by the eight bytes at one place in so many; which ones depends on these bytes alone, so that two files with the
/// same bytes anywhere are sampled alike.
const SAMPLED: u64 = 32;

/// The indices of `files`, as a chain that starts with the first: on each file follows the one left that has most samples in
/// common with it, and the earliest of equals, so that files with nothing in common stay as they are.
pub fn chain(files: &[&[u8]]) -> Vec<usize> {
    let groups = groups(files);
    let mut groups_of = vec![Vec::new(); files.len()];
    for group in &groups {
        for &file in group {
            groups_of[file].push(group);
        }
    }
    let mut left: Vec<usize> = (0..files.len()).collect();
    let mut order = Vec::with_capacity(files.len());
    let mut next = 0;
    while next < left.len() {
        let last = left.remove(next);
        order.push(last);
        let mut common = vec![0_u32; files.len()];
        for &file in groups_of[last].iter().copied().flatten() {
            common[file] += 1;
        }
        // The first of the largest.
        next = (0..left.len())
            .rev()
            .max_by_key(|&at| common[left[at]])
            .unwrap_or(0);
    }
    order
}

/// For each sample that several files have, those files. What half of them have tells none apart.
fn groups(files: &[&[u8]]) -> Vec<Vec<usize>> {
    let mut samples = Vec::new();
    for (file, bytes) in files.iter().enumerate() {
        for window in bytes.array_windows() {
            // A hash that is different for different ones.
            let sample = u64::from_le_bytes(*window).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            if sample < u64::MAX / SAMPLED {
                samples.push((sample, file));
            }
        }
    }
    samples.sort_unstable();
    samples.dedup();
    samples
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter(|group| (2..files.len().div_ceil(2)).contains(&group.len()))
        .map(|group| group.iter().map(|&(_, file)| file).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{SAMPLED, chain};

    /// Bytes that have nothing in common with those of another seed.
    fn content(seed: u64, length: u64) -> Vec<u8> {
        (seed << 32..(seed << 32) + length)
            .map(|at| {
                (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)
                    .pow(2)
                    .to_be_bytes()[3]
            })
            .collect()
    }

    fn order(files: &[Vec<u8>]) -> Vec<usize> {
        chain(&files.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn each_stands_behind_the_one_that_it_shares_most_with() {
        let [one, two] = [1, 2].map(|seed| content(seed, 400 * SAMPLED));
        let (half, _) = one.split_at(one.len() / 2);
        let (part, _) = half.split_at(half.len() / 2);
        let files = [
            one.clone(),
            two.clone(),
            // Elsewhere in the file, and not at the same distance.
            [b"shifted", part].concat(),
            [two.as_slice(), half].concat(),
            content(3, 1000),
            content(4, 1000),
            content(5, 1000),
        ];
        assert_eq!(order(&files), [0, 3, 1, 2, 4, 5, 6]);
    }

    #[test]
    fn files_with_nothing_in_common_stay_as_they_are() {
        let files: Vec<_> = (0..9).map(|seed| content(seed, seed * 500)).collect();
        assert_eq!(order(&files), Vec::from_iter(0..9));
        // What all have tells nothing.
        let every = content(77, 5000);
        let files: Vec<_> = files
            .iter()
            .map(|file| [file.as_slice(), &every].concat())
            .collect();
        assert_eq!(order(&files), Vec::from_iter(0..9));
        assert_eq!(order(&[]), Vec::<usize>::new());
    }
}
