//! What a kernel's image says of itself, before anything starts it.

use anyhow::{Context, Result, bail, ensure};
use object::LittleEndian as LE;
use object::pe::{self, Machine};
use object::read::pe::PeFile64;

/// What matters for a unified kernel image.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    pub machine: Machine,
    /// As `uname -r` prints it; absent where the image does not tell.
    pub release: Option<String>,
    /// Bytes that the kernel takes as its command line.
    pub cmdline_max: usize,
}

/// COMMAND_LINE_SIZE of arm64, without the zero at the end.
const ARM64_CMDLINE_MAX: usize = 2047;

/// Reads a kernel that firmware can start. Anything else is refused.
///
/// Source: the kernel's Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst.
pub fn read(image: &[u8]) -> Result<Facts> {
    let name = |magic: &[u8]| image.starts_with(magic);
    if name(b"\x7fELF") {
        bail!(
            "it is an ELF file: the kernel that ships is arch/x86/boot/bzImage or arch/arm64/boot/Image, not vmlinux"
        );
    }
    if name(b"\x1f\x8b") {
        bail!("it is compressed as a whole, and firmware cannot start it: unpack it with gunzip");
    }
    let file = PeFile64::parse(image);
    let file =
        file.context("it is no image that firmware can start; the kernel needs CONFIG_EFI_STUB=y")?;
    let machine = file.nt_headers().file_header.machine.get(LE);
    match machine {
        pe::IMAGE_FILE_MACHINE_AMD64 => x86(image),
        pe::IMAGE_FILE_MACHINE_ARM64 => {
            ensure!(
                image.get(56..60) == Some(b"ARM\x64") || image.get(4..8) == Some(b"zimg"),
                "it is a PE image, but not a kernel's"
            );
            Ok(Facts {
                machine,
                release: banner(image),
                cmdline_max: ARM64_CMDLINE_MAX,
            })
        }
        other => bail!("its machine type is {other:#x}: x86_64 and aarch64 are supported"),
    }
}

fn x86(image: &[u8]) -> Result<Facts> {
    ensure!(
        image.get(0x202..0x206) == Some(b"HdrS"),
        "it is a PE image, but not a kernel's: the setup header is missing"
    );
    let [low, high] = *word(image, 0x20E)?;
    // Counted from behind the first sector.
    let place = 0x200 + usize::from(u16::from_le_bytes([low, high]));
    let text = image.get(place..).unwrap_or_default();
    let text = text
        .split(|byte| byte.is_ascii_whitespace() || *byte == 0)
        .next();
    Ok(Facts {
        machine: pe::IMAGE_FILE_MACHINE_AMD64,
        release: text.and_then(printable),
        cmdline_max: u32::from_le_bytes(*word(image, 0x238)?) as usize,
    })
}

/// The release in the line that a kernel begins its log with, where the image is not compressed.
fn banner(image: &[u8]) -> Option<String> {
    const BEGINNING: &[u8] = b"Linux version ";
    let place = image
        .windows(BEGINNING.len())
        .position(|bytes| bytes == BEGINNING)?;
    printable(
        image[place + BEGINNING.len()..]
            .split(|byte| *byte == b' ')
            .next()?,
    )
}

fn printable(release: &[u8]) -> Option<String> {
    let good =
        !release.is_empty() && release.len() < 65 && release.iter().all(u8::is_ascii_graphic);
    good.then(|| String::from_utf8_lossy(release).into_owned())
}

fn word<const N: usize>(image: &[u8], offset: usize) -> Result<&[u8; N]> {
    let bytes = image.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.context("it ends within its setup header")
}
