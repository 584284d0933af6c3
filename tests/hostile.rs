//! Every truncation and every flipped bit of what comes from outside: no panic, and never another answer where a checksum guards it.

#[path = "hostile/gpt.rs"]
mod gpt;
#[path = "hostile/plan.rs"]
mod plan;
#[path = "hostile/random.rs"]
mod random;
#[path = "parsers/samples.rs"]
mod samples;
#[path = "hostile/superblocks.rs"]
mod superblocks;
#[path = "hostile/words.rs"]
mod words;

/// Calls `look` with each bit of `bytes[range]` flipped, one at a time, and the number of the bit.
fn each_flip(bytes: &mut [u8], range: std::ops::Range<usize>, mut look: impl FnMut(&[u8], usize)) {
    for bit in range.start * 8..range.end * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        look(bytes, bit);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}
