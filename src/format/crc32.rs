//! CRC-32 as GPT headers and the plan use it (IEEE 802.3, reflected, polynomial 0xEDB88320).

/// The remainders of the sixteen half bytes: with these 64 bytes it is eight times faster than bit
/// by bit.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut value = 0;
    while value < 16 {
        let mut crc = value as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[value] = crc;
        value += 1;
    }
    table
};

/// A running CRC-32.
pub struct Crc32(u32);

impl Crc32 {
    pub fn new() -> Self {
        Self(!0)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..2 {
                // The index is masked to the table's length, so the fallback is never taken.
                self.0 = (self.0 >> 4) ^ TABLE.get(self.0 as usize & 15).copied().unwrap_or(0);
            }
        }
    }

    /// The checksum of everything fed so far.
    pub fn value(&self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

/// The checksum of one slice.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
