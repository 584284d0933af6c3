//! Which of several devices that match is used.

use toehold::format::uevent::{Key, number};
use toehold::text::{Line, push};

/// Chooses the device that comes next in an order: those on one disk first, then by the sequence
/// numbers of their disks, then as their disks number them.
///
/// The others are not written down anywhere: a disk that is made to confuse could fill any list up.
#[repr(C)]
pub struct Choice {
    /// The number of the role that it is for.
    pub role: u64,
    /// The disk that comes first.
    pub disk: u64,
    /// The rank behind which it comes; 0: the first.
    pub last: u64,
    /// Its own rank, or the highest number if there is none.
    pub rank: u64,
}

impl Choice {
    /// Nothing is chosen: no device has this rank.
    pub const NONE: Self = Self {
        role: 0,
        disk: 0,
        last: 0,
        rank: 0,
    };

    /// Has a device take the place of the one that was `chosen` so far if it comes before.
    #[inline(always)] // size: inline
    pub fn consider(&mut self, role: u64, event: &Line, chosen: &mut Line) {
        let sequence = number(event, Key::DISKSEQ);
        // A minor number has 20 bits; a sequence number counts the disks since the start of the
        // machine.
        let order = sequence << 20 | number(event, Key::MINOR);
        let rank = u64::from(sequence != self.disk) << 63 | order;
        if role == self.role && rank > self.last && rank < self.rank {
            self.rank = rank;
            chosen.clear();
            push(chosen, event);
        }
    }
}
