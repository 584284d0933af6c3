//! Compressions that the kernel unpacks an initrd from.

use std::io::{self, Read, Write};

use anyhow::{Context, Result};
use liblzma::stream::{Check, Stream};

/// zstd's level wherever sizes are compared: the highest that needs no more than 8 MiB to unpack.
const ZSTD_LEVEL: i32 = 19;
/// xz's preset: a dictionary of 8 MiB, which the kernel has to allocate.
const XZ_PRESET: u32 = 6;

/// How an initrd is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    /// With a CRC-32, the only checksum that every kernel checks.
    Xz,
    Zstd,
}

impl Compression {
    /// Compresses; the result depends on the bytes alone.
    pub fn pack(self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self {
            Self::None => bytes,
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
            Self::Xz => {
                let stream = Stream::new_easy_encoder(XZ_PRESET, Check::Crc32)?;
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
            Self::Zstd => zstd(&bytes)?,
        })
    }
}

/// As `zstd -19` packs it, on all processors; how many there are makes no difference to the result.
pub fn zstd(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder
        .multithread(std::thread::available_parallelism().map_or(1, |count| count.get() as u32))?;
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Undoes whichever compression the first bytes tell; bytes that tell none are returned as they are.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let read = |mut from: Box<dyn Read + '_>| -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        from.read_to_end(&mut unpacked)?;
        Ok(unpacked)
    };
    let unpacked = match bytes.as_slice() {
        [0x1F, 0x8B, ..] => read(Box::new(flate2::read::GzDecoder::new(bytes.as_slice()))),
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => {
            read(Box::new(liblzma::read::XzDecoder::new(bytes.as_slice())))
        }
        [0x28, 0xB5, 0x2F, 0xFD, ..] => zstd::decode_all(bytes.as_slice()),
        _ => return Ok(bytes),
    };
    unpacked.context("the compressed archive is damaged")
}

#[cfg(test)]
mod tests {
    use super::{Compression, unpack};
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    /// Whether `tool`, fed with `bytes`, exits 0.
    fn accepts(tool: &str, arguments: &[&str], bytes: &[u8]) -> bool {
        let mut child = Command::new(tool)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {tool}: {error}"));
        // A tool that refuses its input may stop reading it.
        let _ = child.stdin.take().unwrap().write_all(bytes);
        child.wait().unwrap().success()
    }

    #[test]
    fn the_tools_accept_it_and_it_comes_back() {
        let bytes: Vec<u8> = (0..300_000u32)
            .map(|n| (n.wrapping_mul(n) >> 7) as u8)
            .collect();
        for (compression, tool) in [
            (Compression::Gzip, "gzip"),
            (Compression::Xz, "xz"),
            (Compression::Zstd, "zstd"),
        ] {
            let packed = compression.pack(bytes.clone()).unwrap();
            assert_eq!(
                packed,
                compression.pack(bytes.clone()).unwrap(),
                "{tool}: not reproducible"
            );
            assert!(accepts(tool, &["-t", "-"], &packed), "{tool} refuses it");
            assert!(
                !accepts(tool, &["-t", "-"], &packed[..packed.len() - 2]),
                "{tool} accepts anything"
            );
            assert_eq!(unpack(packed.clone()).unwrap(), bytes);
            assert!(unpack(packed[..packed.len() - 9].to_vec()).is_err());
        }
        assert_eq!(unpack(bytes.clone()).unwrap(), bytes);
    }
}
