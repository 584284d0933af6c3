//! Plans for the unit tests of those who read them.

use super::{Key, MAGIC, Plan, REQUIRED, VERSION};
use crate::asked::USR_WORDS;
use crate::format::crc32::crc32;

/// A plan with this module section, no aliases, what every plan has (the verity device is called
/// `usr`) and the settings `extra`.
pub fn plan(modules: &[u8], extra: &[u8]) -> Plan<'static> {
    let mut rest = (modules.len() as u32).to_le_bytes().to_vec();
    rest.extend([0; 4]);
    rest.extend(modules);
    for key in REQUIRED {
        let value: &[u8] = match key {
            Key::VerityName => b"usr",
            Key::Words => USR_WORDS,
            _ => b"",
        };
        // More than one byte of length: the first has the low seven bits.
        rest.extend([
            key as u8,
            value.len() as u8 | 0x80,
            (value.len() >> 7) as u8,
        ]);
        rest.extend(value);
    }
    rest.extend(extra);
    let mut file = MAGIC.to_vec();
    file.extend(VERSION.to_le_bytes());
    file.extend((20 + rest.len() as u32).to_le_bytes());
    file.extend(crc32(&rest).to_le_bytes());
    file.extend(rest);
    Plan::parse(file.leak())
        .map_err(|why| format!("{why:?}"))
        .unwrap()
}
