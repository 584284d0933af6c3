//! Takes the kernel itself, an ELF file, out of a compressed x86 image.

use anyhow::{Context, Result, bail, ensure};
use builder::archive::stream::Method;

/// Bytes of a sector, in which the setup code's length is counted.
const SECTOR: usize = 512;

/// The ELF file in a bzImage.
///
/// Source: the kernel's Documentation/arch/x86/boot.rst (`setup_sects`, `payload_offset`, `payload_length`).
pub fn vmlinux(image: &[u8]) -> Result<Vec<u8>> {
    ensure!(
        image.get(0x202..0x206) == Some(b"HdrS"),
        "it is no bzImage: the setup header is missing"
    );
    let number = |offset: usize| -> Result<usize> {
        let bytes = image.get(offset..).and_then(|rest| rest.first_chunk());
        let bytes = bytes.context("it ends within its setup header")?;
        Ok(u32::from_le_bytes(*bytes) as usize)
    };
    let setup = match image[0x1F1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup + 1) * SECTOR + number(0x248)?;
    let payload = image
        .get(start..)
        .and_then(|rest| rest.get(..number(0x24C).ok()?));
    let payload = payload.context("it ends within the kernel")?;
    // The length of what is unpacked stands behind it.
    let (packed, length) = payload
        .split_last_chunk()
        .context("there is no kernel in it")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (unpacked, _) = match Method::of(packed) {
        Some(method @ (Method::Xz | Method::Zstd | Method::Lz4)) => method.unpack(packed)?,
        _ => bail!("its compression is not known: xz, zstd and lz4 are"),
    };
    ensure!(
        unpacked.starts_with(b"\x7fELF") && unpacked.len() == length,
        "what is in it is no ELF file of {length} bytes"
    );
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::archive::compress::Compression;

    /// A bzImage with one sector of setup code, and with this in it.
    fn image(packed: &[u8], length: usize) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR];
        image[0x1F1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24C..0x250].copy_from_slice(&(packed.len() as u32 + 4).to_le_bytes());
        image.extend(packed);
        image.extend((length as u32).to_le_bytes());
        image
    }

    #[test]
    fn each_compression_and_what_is_none() {
        let kernel = [&b"\x7fELF"[..], &[7; 10_000]].concat();
        let [xz, zstd] = [Compression::Xz, Compression::Zstd]
            .map(|compression| compression.pack(kernel.clone()).unwrap());
        let block = lz4_flex::block::compress(&kernel);
        let lz4 = [
            &[2, 0x21, 0x4C, 0x18],
            &(block.len() as u32).to_le_bytes()[..],
            &block,
        ]
        .concat();
        for packed in [&zstd, &xz, &lz4] {
            assert_eq!(vmlinux(&image(packed, kernel.len())).unwrap(), kernel);
            assert!(vmlinux(&image(packed, kernel.len() + 1)).is_err());
            assert!(vmlinux(&image(&packed[..packed.len() / 2], kernel.len())).is_err());
        }
        let error = vmlinux(&image(b"BZh9", 9)).unwrap_err().to_string();
        assert_eq!(error, "its compression is not known: xz, zstd and lz4 are");
        assert!(vmlinux(&[0; 4096]).is_err() && vmlinux(&[]).is_err());
    }
}
