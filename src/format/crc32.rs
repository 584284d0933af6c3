//! CRC-32 as GPT headers and the plan use it (IEEE 802.3, reflected, polynomial 0xEDB88320).

/// A running CRC-32. The table is made when it is needed: 1 KiB of stack is cheaper than 1 KiB of file.
pub struct Crc32 {
    table: [u32; 256],
    state: u32,
}

impl Crc32 {
    pub fn new() -> Self {
        let mut table = [0; 256];
        for (value, entry) in (0u32..).zip(&mut table) {
            *entry = (0..8).fold(value, |crc, _| {
                (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
            });
        }
        Self { table, state: !0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let index = (self.state ^ u32::from(*byte)) & 0xFF;
            // The index is masked to the table's 256 entries, so the fallback is never taken.
            self.state = (self.state >> 8) ^ self.table.get(index as usize).copied().unwrap_or(0);
        }
    }

    /// The checksum of everything fed so far.
    pub fn value(&self) -> u32 {
        !self.state
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
