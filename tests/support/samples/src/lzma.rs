//! Raw LZMA of the simplest kind, for small samples: nothing but literals, with lc, lp and pb of 0.
//!
//! Bytes that are damaged have matches of all kinds, so that the decoder's other half is seen, too.

/// A probability of one half, in 2048ths.
const EVEN: u16 = 1024;

struct Encoder {
    packed: Vec<u8>,
    low: u64,
    range: u32,
}

impl Encoder {
    /// Writes the highest byte. What is carried over goes into the bytes that have been written.
    fn shift(&mut self) {
        if self.low >> 32 != 0 {
            for byte in self.packed.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
        self.packed.push((self.low >> 24) as u8);
        self.low = self.low << 8 & 0xFFFF_FFFF;
    }

    fn bit(&mut self, probability: &mut u16, is_set: bool) {
        let bound = (self.range >> 11) * u32::from(*probability);
        if is_set {
            self.low += u64::from(bound);
            self.range -= bound;
            *probability -= *probability >> 5;
        } else {
            self.range = bound;
            *probability += (2 * EVEN - *probability) >> 5;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
    }
}

/// Packs bytes, none to none.
pub fn literals(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut coder = Encoder {
        packed: vec![0],
        low: 0,
        range: !0,
    };
    let (mut is_match, mut tree) = (EVEN, [EVEN; 256]);
    for byte in bytes {
        coder.bit(&mut is_match, false);
        let mut node = 1;
        for bit in (0..8).rev() {
            let is_set = byte >> bit & 1 != 0;
            coder.bit(&mut tree[node], is_set);
            node = node << 1 | usize::from(is_set);
        }
    }
    for _ in 0..4 {
        coder.shift();
    }
    coder.packed
}

#[test]
fn literals_come_back() {
    use crate::noise::noise;
    use toehold::format::pack::lzma::{Probabilities, decode};

    let mut probabilities = Box::new(Probabilities::NONE);
    for bytes in [
        vec![],
        vec![7],
        vec![0; 5000],
        vec![0xFF; 5000],
        noise(1, 5000),
        b"ab".repeat(2000),
    ] {
        let mut unpacked = vec![0; bytes.len()];
        decode(&literals(&bytes), 0, &mut unpacked, &mut probabilities);
        assert!(unpacked == bytes, "{} bytes", bytes.len());
    }
}
