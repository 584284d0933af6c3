//! The container that lzop(1) makes, as the kernel reads it: a header, then blocks of LZO1X, each behind its lengths and a checksum.
//!
//! Source: the kernel's lib/decompress_unlzo.c, which skips every checksum and looks at few of the flags. What it would misread is refused.

use anyhow::{Context, Result, bail, ensure};

const MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
/// Since this version of lzop, 0.94, the header has the fields that the kernel expects.
const VERSION: u16 = 0x0940;
/// What a block unpacks to at most, in bytes.
const BLOCK: usize = 256 << 10;

/// Flags: by which checksum what a block unpacks to is told to be right.
const ADLER32: u32 = 0x0001;
const CRC32: u32 = 0x0100;
/// A filter has changed the bytes; the header says which.
const FILTER: u32 = 0x0800;
/// The kernel undoes no filter, and expects neither checksums of the packed blocks nor more fields behind the header.
const UNEXPECTED: u32 = FILTER | 0x0002 | 0x0200 | 0x0040;
/// The header's own checksum is a CRC.
const HEADER_CRC32: u32 = 0x1000;

/// What is unread.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    /// As wide as the number is; the first byte counts for most.
    fn number(&mut self, width: usize) -> Result<u32> {
        let bytes = self.take(width)?;
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        Ok(number)
    }
}

/// Unpacks the one stream that the bytes begin with. Returns what it unpacks to, and what lies behind it.
pub fn unpack(bytes: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut reader = Reader(bytes);
    let checksum = header(&mut reader)?;
    let mut unpacked = Vec::new();
    loop {
        let length = reader.number(4)? as usize;
        if length == 0 {
            return Ok((unpacked, reader.0));
        }
        ensure!(
            length <= BLOCK,
            "a block is larger than the kernel takes: {length} bytes"
        );
        let packed = reader.number(4)? as usize;
        let sum = reader.number(4)?;
        let packed = reader.take(packed)?;
        ensure!(
            packed.len() <= length,
            "a block is larger than what it unpacks to"
        );
        // What does not become smaller is as it was.
        let block = if packed.len() == length {
            packed.to_vec()
        } else {
            lzo::decompress(packed, length)?
        };
        ensure!(
            block.len() == length && checksum(&block) == sum,
            "a block unpacks to something else than was packed"
        );
        unpacked.extend(block);
    }
}

/// Reads the header; returns how the checksum of a block is made.
fn header(reader: &mut Reader) -> Result<fn(&[u8]) -> u32> {
    ensure!(
        reader.take(MAGIC.len())? == MAGIC,
        "it is not as lzop makes it"
    );
    let start = reader.0;
    let version = reader.number(2)?;
    ensure!(
        version >= u32::from(VERSION),
        "it is of an lzop before 0.94"
    );
    // Which library made it, which lzop it takes, the method and its level.
    reader.take(2 + 2 + 1 + 1)?;
    let flags = reader.number(4)?;
    if flags & FILTER != 0 {
        reader.number(4)?;
    }
    // The mode and the time of a file, and its name.
    reader.take(4 + 8)?;
    let name = reader.number(1)?;
    reader.take(name as usize)?;
    let length = start.len() - reader.0.len();
    let sum = if flags & HEADER_CRC32 != 0 {
        crc32fast::hash
    } else {
        adler2::adler32_slice
    };
    ensure!(
        sum(&start[..length]) == reader.number(4)?,
        "its header is damaged"
    );
    Ok(match flags & (ADLER32 | CRC32 | UNEXPECTED) {
        ADLER32 => adler2::adler32_slice,
        CRC32 => crc32fast::hash,
        _ => bail!(
            "lzop made it with options that the kernel does not know: no checksum, one more, or a filter; `lzop -dc` unpacks it"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::unpack;
    use crate::archive::stream::tests::piped;

    /// Bytes that become smaller, and at the end some that do not.
    fn sample(len: u32) -> Vec<u8> {
        let byte = |n: u32| match n < len / 2 {
            true => (n / 7 % 50 * (n / 900)) as u8,
            false => (n.wrapping_mul(2_654_435_761) >> 13) as u8,
        };
        (0..len).map(byte).collect()
    }

    #[test]
    fn what_lzop_makes() {
        for len in [0, 1, 3, 300, 256 << 10, (256 << 10) + 1, 1_100_000] {
            let bytes = sample(len);
            for options in [&["-1"][..], &["-6"], &["-9"], &["--crc32", "-7"]] {
                let packed = piped("lzop", options, &bytes);
                for behind in [&b""[..], b"\0\0\0\x000707"] {
                    let both = [&packed, behind].concat();
                    let (unpacked, rest) = unpack(&both).unwrap();
                    assert!(unpacked == bytes && rest == behind, "{len} {options:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused() {
        for option in ["-F", "-CC", "--filter=1"] {
            let packed = piped("lzop", &[option], &sample(5000));
            let error = unpack(&packed).unwrap_err().to_string();
            assert!(
                error.starts_with("lzop made it with options"),
                "{option}: {error}"
            );
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        for options in [&["-1"][..], &["-9"], &["--crc32"]] {
            let bytes = sample(3000);
            let packed = piped("lzop", options, &bytes);
            for len in 0..packed.len() {
                assert!(unpack(&packed[..len]).is_err(), "{options:?}: {len} bytes");
            }
            let mut same = 0;
            for bit in 0..packed.len() * 8 {
                let mut damaged = packed.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // The same bytes can be packed in several ways.
                if let Ok((unpacked, rest)) = unpack(&damaged) {
                    assert!(
                        unpacked == bytes && rest.is_empty(),
                        "{options:?}: bit {bit}"
                    );
                    same += 1;
                }
            }
            assert!(
                same < packed.len() / 10,
                "{options:?}: {same} changes unnoticed"
            );
        }
    }
}
