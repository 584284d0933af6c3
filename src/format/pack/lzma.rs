//! Raw LZMA: a range coder and a dictionary that is what has been decoded so far.
//!
//! Source: the LZMA specification of the LZMA SDK. There is neither a header nor an end marker: who
//! has packed the bytes says how many they are, and with which settings: four bits are
//! LZMA's lc, those above them the bits of a position that tell it apart: so many ones as lp and
//! pb say, which are the same here. Bytes that are not LZMA are decoded to as many others: whether
//! it is the right ones, the caller has to know.

/// A probability of one half, in 2048ths, and how fast probabilities adapt.
const EVEN: u16 = 1024;
const ADAPTION: u32 = 5;

/// What came before: the higher, the longer ago was the last literal.
const STATES: u32 = 12;
/// From this state on, what came last was a match.
const AFTER_MATCH: u32 = 7;
/// Positions are told apart by their lowest bits, by so many at most.
const POSITIONS: u32 = 1 << 4;
/// The shortest match.
const SHORTEST: u32 = 2;

// Where which probabilities stand. Those of a tree stand at the number of their node, from 1 on.
const IS_MATCH: u32 = 0;
const IS_REPEATED: u32 = IS_MATCH + STATES * POSITIONS;
const IS_NOT_FIRST: u32 = IS_REPEATED + STATES;
const IS_NOT_SECOND: u32 = IS_NOT_FIRST + STATES;
const IS_NOT_THIRD: u32 = IS_NOT_SECOND + STATES;
const IS_LONG: u32 = IS_NOT_THIRD + STATES;
const SLOT: u32 = IS_LONG + STATES * POSITIONS;
const DISTANCE: u32 = SLOT + (4 << 6);
const ALIGNED: u32 = DISTANCE + (1 << 7);
const LENGTH: u32 = ALIGNED + (1 << 4);
const REPEATED_LENGTH: u32 = LENGTH + LENGTHS;
const LITERAL: u32 = REPEATED_LENGTH + LENGTHS;

// Within those of a length: for each position the trees of short and of middle ones, which are
// eight each, and behind these the tree of long ones. No tree has a node 0: there, in the trees of
// the first position, stand the choices between short and longer, and between middle and long.
const MIDDLE: u32 = 8;
const LONG: u32 = POSITIONS << 4;
const LENGTHS: u32 = LONG + (1 << 8);

/// Probabilities of one context of literals.
const CONTEXT: u32 = 0x300;
/// How many contexts there are: 16, of bits of the byte before and of the position together.
const CONTEXTS: u32 = 16;
/// All, and what makes it a power of two.
const COUNT: usize = (LITERAL + CONTEXTS * CONTEXT).next_power_of_two() as usize;

/// How probable it is that a bit is 0, in 2048ths, for each that is decoded.
pub struct Probabilities([u16; COUNT]);

impl Probabilities {
    pub const NONE: Self = Self([0; COUNT]);
}

struct Decoder<'a> {
    packed: core::slice::Iter<'a, u8>,
    range: u32,
    code: u32,
    probabilities: &'a mut [u16; COUNT],
}

impl Decoder<'_> {
    /// Has at least 24 bits in the range. Inlined, unpacking takes a tenth less time.
    #[inline(always)]
    fn fill(&mut self) {
        if self.range < 1 << 24 {
            self.next();
        }
    }

    /// Takes the next byte. Behind the end there are zeros.
    #[inline(never)] // size: inline
    fn next(&mut self) {
        let byte = self.packed.next().copied().unwrap_or(0);
        self.range <<= 8;
        self.code = self.code << 8 | u32::from(byte);
    }

    /// A bit with the probability at this place, which adapts.
    #[inline(never)] // size: inline
    fn bit(&mut self, place: u32) -> u32 {
        let kept = &mut self.probabilities[place as usize % COUNT];
        let mut probability = u32::from(*kept);
        let bound = (self.range >> 11) * probability;
        let bit;
        if self.code < bound {
            self.range = bound;
            probability += (2 * u32::from(EVEN) - probability) >> ADAPTION;
            bit = 0;
        } else {
            self.range -= bound;
            self.code -= bound;
            probability -= probability >> ADAPTION;
            bit = 1;
        }
        *kept = probability as u16;
        self.fill();
        bit
    }

    /// So many bits, highest first, by a tree of probabilities.
    fn tree(&mut self, place: u32, bits: u32) -> u32 {
        self.expected_tree(place, bits, 0, 0)
    }

    /// How many bytes are repeated.
    fn length(&mut self, place: u32, position: u32) -> u32 {
        let (mut shortest, mut tree, mut bits) = (SHORTEST, place + (position << 4), 3);
        if self.bit(place) != 0 {
            shortest += MIDDLE;
            tree += MIDDLE;
            if self.bit(place + MIDDLE) != 0 {
                shortest += MIDDLE;
                tree = place + LONG;
                bits = 8;
            }
        }
        shortest + self.tree(tree, bits)
    }

    /// How far back a match of this length lies, less one.
    fn distance(&mut self, length: u32) -> u32 {
        let slot = self.tree(SLOT + ((length - SHORTEST).min(3) << 6), 6);
        if slot < 4 {
            return slot;
        }
        let mut bits = (slot >> 1) - 1;
        let mut distance = 2 | slot & 1;
        let mut place = DISTANCE + (distance << bits) - slot;
        if slot >= 14 {
            // So many bits, each as probable as not.
            while bits > 4 {
                self.range >>= 1;
                distance <<= 1;
                if self.code >= self.range {
                    self.code -= self.range;
                    distance |= 1;
                }
                self.fill();
                bits -= 1;
            }
            place = ALIGNED;
        }
        // The tree tells the lowest of the rest first.
        let mut rest = self.tree(place, bits);
        for _ in 0..bits {
            distance = distance << 1 | rest & 1;
            rest >>= 1;
        }
        distance
    }

    /// How many bytes are repeated, from the first of the distances on, which are kept in the order
    /// in which they were used last.
    fn repetition(&mut self, state: &mut u32, position: u32, distances: &mut [u32; 4]) -> u32 {
        // Which of the last distances it is; the last one makes room for a new one.
        let mut which = 3;
        let mut lengths = LENGTH;
        let mut length = 0;
        let mut next = AFTER_MATCH;
        if self.bit(IS_REPEATED + *state) != 0 {
            which = 0;
            lengths = REPEATED_LENGTH;
            next = AFTER_MATCH + 1;
            if self.bit(IS_NOT_FIRST + *state) != 0 {
                which = 1 + self.bit(IS_NOT_SECOND + *state);
                if which == 2 {
                    which += self.bit(IS_NOT_THIRD + *state);
                }
            } else if self.bit(IS_LONG + *state * POSITIONS + position) == 0 {
                next = AFTER_MATCH + 2;
                length = 1;
            }
        }
        *state = match *state {
            AFTER_MATCH.. => (next + 3).min(STATES - 1),
            _ => next,
        };
        if length == 0 {
            length = self.length(lengths, position);
        }
        let mut distance = distances[which as usize % 4];
        if lengths == LENGTH {
            distance = self.distance(length);
        }
        while which > 0 {
            distances[which as usize % 4] = distances[(which - 1) as usize % 4];
            which -= 1;
        }
        distances[0] = distance;
        length
    }

    /// So many bits, highest first, by a tree of probabilities. Of a byte right behind a match, the
    /// one that follows what was repeated tells more: it comes with `apart`, 256, which is 0 for
    /// everything else.
    #[inline(never)] // size: inline
    fn expected_tree(&mut self, place: u32, bits: u32, mut follows: u32, mut apart: u32) -> u32 {
        let mut node = 1;
        while node >> bits == 0 {
            follows <<= 1;
            let expected = follows & apart;
            let set = self.bit(place + apart + expected + node);
            node = node << 1 | set;
            // From the first bit on that is another, nothing is expected any more.
            apart &= expected ^ set.wrapping_sub(1);
        }
        node - (1 << bits)
    }
}

/// Decodes as many bytes as `to` has.
#[inline(never)] // size: inline
pub fn decode(packed: &[u8], settings: u32, to: &mut [u8], probabilities: &mut Probabilities) {
    probabilities.0 = [EVEN; COUNT];
    let mut coder = Decoder {
        packed: packed.iter(),
        range: 0,
        code: 0,
        probabilities: &mut probabilities.0,
    };
    // The first byte is zero, four follow.
    for _ in 0..5 {
        coder.next();
    }
    coder.range = !0;
    let (context_bits, position_mask) = (settings & 15, settings >> 4);
    let (mut at, mut state, mut before) = (0, 0, 0);
    let mut distances = [0; 4];
    while at < to.len() {
        let position = at as u32 & position_mask;
        if coder.bit(IS_MATCH + state * POSITIONS + position) != 0 {
            let length = coder.repetition(&mut state, position, &mut distances);
            let end = to.len().min(at + length as usize);
            while at < end {
                before = byte(to, at, distances[0]);
                to[at] = before;
                at += 1;
            }
        } else {
            let high = u32::from(before) << context_bits >> 8;
            let context = (position << context_bits | high) % CONTEXTS;
            let apart = if state < AFTER_MATCH { 0 } else { 0x100 };
            let follows = byte(to, at, distances[0]).into();
            before = coder.expected_tree(LITERAL + CONTEXT * context, 8, follows, apart) as u8;
            state = state.saturating_sub(if state < 10 { 3 } else { 6 });
            to[at] = before;
            at += 1;
        }
    }
}

/// The byte that lies so far back, and one more; behind the beginning there are zeros.
fn byte(bytes: &[u8], at: usize, distance: u32) -> u8 {
    let place = at.wrapping_sub(distance as usize).wrapping_sub(1);
    bytes.get(place).copied().unwrap_or(0)
}
