//! Compressions that the kernel undoes: of an initrd, and of the modules in it.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, Result};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use zstd::zstd_safe::{self, CParameter};

/// zstd's level wherever sizes are compared: the highest that needs no more than 8 MiB to unpack.
const ZSTD_LEVEL: i32 = 19;
/// zstd's level for what ships: the highest.
const ZSTD_SHIPPED: i32 = 22;
/// The largest window of an initrd, as a power of two: the kernel allocates it while it unpacks, and refuses more than 2^27 (lib/decompress_unzstd.c).
/// Few initrds have more than 64 MiB, and no more than the archive's length is asked for.
const WINDOW: u32 = 26;
/// xz's preset, `-9e`.
const XZ_PRESET: u32 = 9 | 1 << 31;
/// The dictionary of a module, as the kernel's own build has it (scripts/Makefile.modinst): it is allocated at each load.
const XZ_MODULE_DICTIONARY: u32 = 1 << 20;

/// The largest dictionary of a module that somebody else has packed.
const XZ_FOREIGN_DICTIONARY: u64 = 2 << 20;
/// What its size is told by goes no further.
const XZ_LARGEST: u8 = 40;
/// The number of a filter.
const XZ_LZMA2: u8 = 0x21;
/// A flag of a gzip header: a file's name follows.
const GZIP_NAME: u8 = 8;

/// How an initrd or a module is compressed.
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
            Self::Gzip => gzip(&bytes)?,
            Self::Xz => lzma2(&bytes, 1 << window(bytes.len()))?,
            Self::Zstd => zstd_at(&bytes, ZSTD_SHIPPED, 0)?,
        })
    }

    /// How [`Compression::pack`] packs so many bytes, for people.
    pub fn settings(self, bytes: usize) -> String {
        let window = match window(bytes) {
            log @ 20.. => format!("{} MiB", 1 << (log - 20)),
            log => format!("{} KiB", 1 << (log - 10)),
        };
        match self {
            Self::None => "not compressed".to_owned(),
            Self::Gzip => "gzip -9".to_owned(),
            Self::Xz => format!("xz -9e, dictionary {window}"),
            Self::Zstd => format!("zstd -{ZSTD_SHIPPED}, window {window}"),
        }
    }

    /// Compresses a module, for the kernel's decompressors (kernel/module/decompress.c): xz with a CRC-32, no filter for machine
    /// code and a small dictionary, one zstd frame that tells its size, or gzip without a file name.
    pub fn pack_module(self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self {
            Self::None => bytes,
            Self::Gzip => gzip(&bytes)?,
            Self::Xz => lzma2(&bytes, XZ_MODULE_DICTIONARY)?,
            Self::Zstd => zstd_at(&bytes, ZSTD_LEVEL, 0)?,
        })
    }

    /// Whether the kernel's decompressor of modules takes what somebody else has packed: gzip with no more than a name in its header, xz
    /// with a checksum that it knows and a dictionary as its own build has them, one zstd frame that tells its size. Source:
    /// kernel/module/decompress.c, lib/xz/xz_dec_stream.c.
    pub fn suits_modules(self, packed: &[u8]) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => matches!(packed, [0x1F, 0x8B, 8, 0 | GZIP_NAME, ..]),
            Self::Xz => suits_xz(packed),
            Self::Zstd => {
                let is_one = zstd_safe::find_frame_compressed_size(packed) == Ok(packed.len());
                is_one && matches!(zstd_safe::get_frame_content_size(packed), Ok(Some(_)))
            }
        }
    }

    /// What follows a module's name in its file's.
    pub fn module_suffix(self) -> &'static str {
        match self {
            Self::None => ".ko",
            Self::Gzip => ".ko.gz",
            Self::Xz => ".ko.xz",
            Self::Zstd => ".ko.zst",
        }
    }

    /// How a module's file is compressed; its name tells, as for kmod.
    pub fn of_module(file: &Path) -> Self {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("xz") => Self::Xz,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Undoes this compression.
    pub fn unpack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let read = |from: &mut dyn Read| {
            let mut unpacked = Vec::new();
            from.read_to_end(&mut unpacked).map(|_| unpacked)
        };
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => read(&mut flate2::read::GzDecoder::new(bytes)),
            Self::Xz => read(&mut liblzma::read::XzDecoder::new(bytes)),
            Self::Zstd => zstd::decode_all(bytes),
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, into: &mut std::fmt::Formatter) -> std::fmt::Result {
        into.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// Stream flags with no checksum or a CRC-32, and a first block whose one filter is LZMA2 with up to [`XZ_FOREIGN_DICTIONARY`].
/// Source: The .xz File Format, 2.1.1.2, 3.1 and 5.3.1.
fn suits_xz(packed: &[u8]) -> bool {
    let Some(
        [
            0xFD,
            b'7',
            b'z',
            b'X',
            b'Z',
            0,
            0,
            0 | 1,
            _,
            _,
            _,
            _,
            _,
            flags,
            header @ ..,
        ],
    ) = packed.first_chunk::<24>()
    else {
        return false;
    };
    // Sizes of the block may stand before its filters, seven bits a byte.
    let sizes = usize::from(flags >> 6 & 1) + usize::from(flags >> 7);
    let ends = header.iter().enumerate().filter(|(_, byte)| **byte < 0x80);
    let filter = match sizes {
        0 => Some(0),
        sizes => ends.map(|(at, _)| at + 1).nth(sizes - 1),
    };
    let filter = filter.and_then(|at| header.get(at..));
    match filter {
        Some([XZ_LZMA2, 1, size @ 0..=XZ_LARGEST, ..]) if flags & 3 == 0 => {
            let bytes = (2 | u64::from(size & 1)) << (size / 2 + 11);
            bytes <= XZ_FOREIGN_DICTIONARY
        }
        _ => false,
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// With a CRC-32 and no filter for machine code, which modules are not yet.
fn lzma2(bytes: &[u8], dictionary: u32) -> Result<Vec<u8>> {
    let mut options = LzmaOptions::new_preset(XZ_PRESET)?;
    options.dict_size(dictionary);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc32)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// As `zstd -19` packs it, on all processors; how many there are makes no difference to the result.
pub fn zstd(bytes: &[u8]) -> Result<Vec<u8>> {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    zstd_at(bytes, ZSTD_LEVEL, processors)
}

/// In one call, with so many threads beside this one: where zstd is given the bytes bit by bit, it looks at 128 KiB at most
/// to tell where a block of it should end.
fn zstd_at(bytes: &[u8], level: i32, threads: u32) -> Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    if level == ZSTD_SHIPPED {
        compressor.set_parameter(CParameter::WindowLog(window(bytes.len())))?;
    }
    compressor.set_parameter(CParameter::NbWorkers(threads))?;
    Ok(compressor.compress(bytes)?)
}

/// The window that holds so many bytes, within [`WINDOW`], as a power of two.
fn window(bytes: usize) -> u32 {
    bytes.next_power_of_two().ilog2().clamp(16, WINDOW)
}

/// The compression that the first bytes tell.
pub fn of(bytes: &[u8]) -> Compression {
    match bytes {
        [0x1F, 0x8B, ..] => Compression::Gzip,
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Undoes whichever compression the first bytes tell; bytes that tell none are returned as they are.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let compression = of(&bytes);
    if compression == Compression::None {
        return Ok(bytes);
    }
    compression
        .unpack(&bytes)
        .with_context(|| format!("the {compression} data is damaged"))
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
    #[test]
    fn modules_are_packed_for_the_kernel() {
        let module: Vec<u8> = (0..3_000_000u32)
            .map(|n| (n.wrapping_mul(n) >> 9) as u8)
            .collect();
        for (compression, tool, suffix) in [
            (Compression::None, "true", ".ko"),
            (Compression::Gzip, "gzip", ".ko.gz"),
            (Compression::Xz, "xz", ".ko.xz"),
            (Compression::Zstd, "zstd", ".ko.zst"),
        ] {
            let packed = compression.pack_module(module.clone()).unwrap();
            assert!(accepts(tool, &["-t", "-"], &packed), "{tool} refuses it");
            assert_eq!(compression.unpack(&packed).unwrap(), module);
            assert_eq!(compression.module_suffix(), suffix);
            let file = format!("kernel/a.b{suffix}");
            assert_eq!(Compression::of_module(file.as_ref()), compression);
            match compression {
                // Flags of the member: no name and no other field that the kernel would have to skip.
                Compression::Gzip => assert_eq!(packed[3], 0),
                Compression::Xz => {
                    let room = tempfile::tempdir().unwrap();
                    let file = room.path().join("a.ko.xz");
                    std::fs::write(&file, &packed).unwrap();
                    let list = Command::new("xz").arg("-lvv").arg(file).output().unwrap();
                    let list = String::from_utf8(list.stdout).unwrap();
                    assert!(
                        list.contains("CRC32") && list.contains(" --lzma2=dict=1MiB\n"),
                        "{list}"
                    );
                }
                Compression::Zstd => {
                    let size = zstd::zstd_safe::get_frame_content_size(&packed).unwrap();
                    assert_eq!(size, Some(module.len() as u64));
                    assert_eq!(
                        zstd::zstd_safe::find_frame_compressed_size(&packed),
                        Ok(packed.len())
                    );
                }
                Compression::None => assert_eq!(packed, module),
            }
        }
    }
    /// What `tool` makes of a file with these bytes.
    fn packed_by(tool: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("a.ko");
        std::fs::write(&file, bytes).unwrap();
        let mut command = Command::new(tool);
        let output = command.args(arguments).arg("-c").arg(&file).output();
        let output = output.unwrap_or_else(|error| panic!("cannot start {tool}: {error}"));
        assert!(output.status.success(), "{tool} {arguments:?}");
        output.stdout
    }

    #[test]
    fn modules_that_others_have_packed() {
        let module: Vec<u8> = (0..300_000u32)
            .map(|n| (n.wrapping_mul(n) >> 9) as u8)
            .collect();
        for (compression, arguments, suits) in [
            // As the kernel's build makes them, and as it made them before.
            (
                Compression::Xz,
                &["--check=crc32", "--lzma2=dict=1MiB"][..],
                true,
            ),
            (
                Compression::Xz,
                &["--check=crc32", "--lzma2=dict=2MiB"],
                true,
            ),
            (Compression::Xz, &["--check=none", "-0", "-T2"], true),
            (Compression::Xz, &["-9"], false),
            (Compression::Xz, &["-0"], false),
            (Compression::Xz, &["--check=sha256", "-0"], false),
            (Compression::Xz, &["--check=crc32", "-9"], false),
            (
                Compression::Xz,
                &["--check=crc32", "--x86", "--lzma2=dict=1MiB"],
                false,
            ),
            (Compression::Gzip, &["-9"], true),
            (Compression::Gzip, &["-n"], true),
            (Compression::Zstd, &["-q", "-19"], true),
            (Compression::Zstd, &["-q", "--no-content-size"], false),
        ] {
            let tool = compression.to_string();
            let packed = packed_by(&tool, arguments, &module);
            assert_eq!(
                compression.suits_modules(&packed),
                suits,
                "{tool} {arguments:?}"
            );
            // Whatever is there of it.
            let start = &packed[..packed.len().min(100)];
            for at in 0..start.len() {
                compression.suits_modules(&start[..at]);
                for byte in 0..=u8::MAX {
                    let mut start = start.to_vec();
                    start[at] = byte;
                    compression.suits_modules(&start);
                }
            }
        }
        let frame = Compression::Zstd.pack_module(module).unwrap();
        assert!(Compression::Zstd.suits_modules(&frame));
        assert!(!Compression::Zstd.suits_modules(&frame.repeat(2)));
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            assert!(!compression.suits_modules(b""));
            assert!(!compression.suits_modules(b"no such thing, and long enough to be one"));
        }
    }
}
