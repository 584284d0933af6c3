//! Hostile inputs: good ones cut off, with each bit flipped, and changed where it matters with the checksums made to fit.

/// Something that reads bytes from outside.
pub struct Target {
    pub name: &'static str,
    /// Good inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Offset and length of the numbers that something depends on.
    pub fields: &'static [(usize, usize)],
    /// What a text is made from.
    pub words: &'static [&'static [u8]],
    /// Makes the checksums fit.
    pub seal: fn(&mut [u8]),
    /// Reads an input, and panics where what comes of it cannot be right.
    pub check: fn(&[u8]),
}

impl Target {
    /// Checks the good inputs, each of them cut off everywhere and with every bit flipped, and so many mutations. Returns how
    /// many inputs that were.
    pub fn sweep(&self, mutations: usize) -> usize {
        let mut tried = 0;
        let mut check = |bytes: &[u8]| {
            tried += 1;
            self.show_and_check(bytes);
        };
        let seeds = (self.seeds)();
        for seed in &seeds {
            for len in 0..=seed.len() {
                check(&seed[..len]);
            }
            let mut bytes = seed.clone();
            for bit in 0..seed.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                check(&bytes);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let mut random = Random(0);
        for number in 0..mutations {
            let mut bytes = seeds[number % seeds.len()].clone();
            self.mutate(&mut random, &mut bytes);
            check(&bytes);
        }
        tried
    }

    /// Checks an input, which is shown if that panics.
    fn show_and_check(&self, bytes: &[u8]) {
        struct Shown<'a>(&'a [u8]);
        impl Drop for Shown<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    eprintln!("the input was: {}", self.0.escape_ascii());
                }
            }
        }
        let _shown = Shown(bytes);
        (self.check)(bytes);
    }

    /// Changes an input in one to four places; the checksums fit in most cases.
    pub fn mutate(&self, random: &mut Random, bytes: &mut Vec<u8>) {
        for _ in 0..=random.below(4) {
            self.change(random, bytes);
        }
        if random.below(8) != 0 {
            (self.seal)(bytes);
        }
    }

    fn change(&self, random: &mut Random, bytes: &mut Vec<u8>) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        let has_fields = !self.fields.is_empty();
        match random.below(8) {
            0..4 if has_fields => {
                let (offset, len) = self.fields[random.below(self.fields.len())];
                let Some(field) = bytes.get_mut(offset..offset + len) else {
                    return;
                };
                let mut raw = [0; 8];
                let known = len.min(8);
                raw[..known].copy_from_slice(&field[..known]);
                let value = random.interesting(u64::from_le_bytes(raw)).to_le_bytes();
                field[..known].copy_from_slice(&value[..known]);
            }
            0..4 if !self.words.is_empty() => {
                let word = self.words[random.below(self.words.len())];
                let replaced = if random.below(2) == 0 { at } else { end };
                bytes.splice(at..replaced, word.iter().copied());
            }
            4 if !has_fields => drop(bytes.drain(at..end)),
            5 if !has_fields => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => bytes[at..end].fill_with(|| random.draw() as u8),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

/// A sequence of numbers that looks random and is the same each time (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }

    /// A number that code may have overlooked: small ones, powers of two and their neighbours, what is next to `old`.
    fn interesting(&mut self, old: u64) -> u64 {
        let power = 1 << self.below(64);
        match self.below(8) {
            0 => self.below(8) as u64,
            1 => power,
            2 => power - 1,
            3 => u64::MAX - self.below(3) as u64,
            4 => old.wrapping_add(1),
            5 => old.wrapping_sub(1),
            6 => old.wrapping_mul(power),
            _ => self.draw(),
        }
    }
}

/// Checks text that describes a device: these fields at most, each once and in this order, each behind a newline, and nothing
/// that could pass for another.
pub fn assert_facts(text: &[u8], keys: &[&str]) {
    let mut keys = keys.iter();
    let mut fields = text.split(|byte| *byte == b'\n');
    assert_eq!(fields.next(), Some(&b""[..]));
    for field in fields {
        assert!(!field.contains(&0), "{}", text.escape_ascii());
        let known = keys.any(|key| {
            let value = field.strip_prefix(key.as_bytes());
            value.is_some_and(|value| value.len() > 1 && value[0] == b'=')
        });
        assert!(known, "{}", text.escape_ascii());
    }
}
