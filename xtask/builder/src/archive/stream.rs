//! A compressed stream with other bytes behind it: what it unpacks to, and where it ends.
//!
//! Source: the kernel's lib/decompress.c, which knows a stream by its first two bytes, and
//! lib/decompress_*.c, each of which unpacks one stream and says how long it was.

use std::io::Read;

use anyhow::{Context, Result};
use liblzma::{bufread::XzDecoder, stream::Stream};

use super::lzop;

/// What LZ4's legacy format begins with, and may have again before any block.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4C, 0x18];
/// What each block of it unpacks to at most, in bytes.
const LZ4_BLOCK: usize = 8 << 20;

/// A compression that the kernel undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Gzip,
    Bzip2,
    /// The format before xz.
    Lzma,
    Xz,
    /// As lzop packs it.
    Lzo,
    /// The legacy format, which is the only one that the kernel knows.
    Lz4,
    Zstd,
}

impl Method {
    /// What the first bytes tell.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0x1F, 0x8B | 0x9E, ..] => Self::Gzip,
            [b'B', b'Z', ..] => Self::Bzip2,
            [0x5D, 0, ..] => Self::Lzma,
            [0xFD, b'7', ..] => Self::Xz,
            [0x89, b'L', ..] => Self::Lzo,
            [0x02, 0x21, ..] => Self::Lz4,
            [0x28, 0xB5, ..] => Self::Zstd,
            _ => return None,
        })
    }

    /// Unpacks the one stream that the bytes begin with. Returns what it unpacks to, and what lies
    /// behind it.
    pub fn unpack(self, bytes: &[u8]) -> Result<(Vec<u8>, &[u8])> {
        let (mut unpacked, mut rest) = (Vec::new(), bytes);
        let into = &mut unpacked;
        // Readers of this kind take no more of the bytes than they unpack.
        let read = match self {
            Self::Gzip => flate2::bufread::GzDecoder::new(&mut rest).read_to_end(into),
            Self::Bzip2 => bzip2::bufread::BzDecoder::new(&mut rest).read_to_end(into),
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(u64::MAX)?;
                XzDecoder::new_stream(&mut rest, stream).read_to_end(into)
            }
            Self::Xz => XzDecoder::new(&mut rest).read_to_end(into),
            Self::Zstd => zstd::Decoder::with_buffer(&mut rest)?
                .single_frame()
                .read_to_end(into),
            Self::Lz4 => return lz4(bytes).context("the lz4 data is damaged"),
            Self::Lzo => return lzop::unpack(bytes).context("the lzo data is damaged"),
        };
        read.with_context(|| format!("the {self} data is damaged"))?;
        Ok((unpacked, rest))
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, into: &mut std::fmt::Formatter) -> std::fmt::Result {
        into.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Unpacks LZ4's legacy format: blocks, each behind its length. It ends with the bytes, or where a
/// length is zero. Returns what lies behind it, too.
pub fn lz4(bytes: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let (mut unpacked, mut rest) = (Vec::new(), bytes);
    rest = rest
        .strip_prefix(&LZ4_LEGACY)
        .context("it is not in the legacy format")?;
    while let Some((length, blocks)) = rest.split_first_chunk() {
        if *length == LZ4_LEGACY {
            rest = blocks;
            continue;
        }
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            break;
        }
        let (block, blocks) = blocks
            .split_at_checked(length)
            .context("a block is cut off")?;
        unpacked.extend(lz4_flex::block::decompress(block, LZ4_BLOCK)?);
        rest = blocks;
    }
    Ok((unpacked, rest))
}

#[cfg(test)]
pub mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::{Method, lz4};

    /// What a program makes of these bytes.
    pub fn piped(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let mut input = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(bytes).unwrap());
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{program}");
        output.stdout
    }

    #[test]
    fn a_stream_ends_where_its_program_ended_it() {
        let bytes: Vec<u8> = (0..200_000u32)
            .map(|n| (n.wrapping_mul(n) >> 7) as u8)
            .collect();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&bytes).unwrap();
        for (method, packed) in [
            (Method::Gzip, piped("gzip", &["-c"], &bytes)),
            (Method::Bzip2, bzip2.finish().unwrap()),
            (Method::Lzma, piped("xz", &["--format=lzma", "-c"], &bytes)),
            (Method::Xz, piped("xz", &["--check=crc32", "-c"], &bytes)),
            (Method::Lzo, piped("lzop", &["-c"], &bytes)),
            (Method::Zstd, piped("zstd", &["-q", "-c"], &bytes)),
        ] {
            for behind in [&b""[..], b"0707", b"\0\0\0\0\0", b"\x1f\x8b\x08", &packed] {
                let both = [&packed, behind].concat();
                assert_eq!(Method::of(&both), Some(method));
                let (got, rest) = method.unpack(&both).unwrap();
                assert!(got == bytes && rest == behind, "{method} {behind:?}");
            }
            for len in [2, 9, packed.len() / 2, packed.len() - 1] {
                let error = method.unpack(&packed[..len]).unwrap_err().to_string();
                assert_eq!(error, format!("the {method} data is damaged"), "{len}");
            }
        }
    }

    #[test]
    fn text_is_no_stream() {
        assert_eq!(Method::of(b"text"), None);
    }

    #[test]
    fn lz4_ends_at_a_length_of_zero() {
        let block = lz4_flex::block::compress(b"seven bytes, and more");
        let block = [&(block.len() as u32).to_le_bytes()[..], &block].concat();
        let magic = &[0x02, 0x21, 0x4C, 0x18][..];
        let packed = [magic, &block, magic, &block, &[0; 4], b"0707"].concat();
        let (unpacked, rest) = Method::Lz4.unpack(&packed).unwrap();
        assert_eq!(unpacked, b"seven bytes, and moreseven bytes, and more");
        assert_eq!(rest, b"\0\0\0\x000707");
        assert!(lz4(&packed[..20]).is_err() && lz4(&packed[1..]).is_err());
    }
}
