//! An initrd as the kernel reads it: pieces one behind the other, each of them a plain archive or a
//! compressed stream of archives, in any order, with zeros between them.
//!
//! Source: `unpack_to_rootfs` in the kernel's init/initramfs.c, and
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::{
    cpio::{self, Archive},
    stream::Method,
};

/// What the kernel tells an archive by; the header says which format it is.
const ARCHIVE: u8 = b'0';
/// Archives begin at multiples of this, plain ones in the initrd, the others in what a stream
/// unpacks to.
pub const ALIGNMENT: usize = 4;

/// One piece of an initrd.
#[derive(Debug)]
pub struct Piece {
    /// Where it lies in the initrd, without the zeros that pad it.
    pub place: Range<usize>,
    /// None for a plain archive.
    pub method: Option<Method>,
    /// The archive, or what the stream unpacks to: archives with zeros between them.
    pub unpacked: Vec<u8>,
}

impl Piece {
    /// The archives that are in it.
    pub fn archives(&self) -> Result<Vec<Archive<'_>>> {
        let read = || {
            let mut archives = Vec::new();
            let mut at = 0;
            while let Some(start) = next(&self.unpacked, at) {
                ensure!(
                    is_archive(&self.unpacked, start),
                    "it unpacks to something else than archives, at byte {start} of that"
                );
                let archive = cpio::read(&self.unpacked[start..]).with_context(|| {
                    format!("the archive at byte {start} of what it unpacks to")
                })?;
                at = start + archive.bytes.len();
                archives.push(archive);
            }
            Ok(archives)
        };
        read().with_context(|| place(self.method, self.place.start))
    }
}

/// The pieces, each read when it is asked for; none behind one that is damaged.
pub fn read(initrd: &[u8]) -> impl Iterator<Item = Result<Piece>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = next(initrd, at.take()?)?;
        let piece = piece(initrd, start);
        at = piece.as_ref().ok().map(|piece| piece.place.end);
        Some(piece)
    })
}

fn piece(initrd: &[u8], start: usize) -> Result<Piece> {
    let bytes = &initrd[start..];
    if is_archive(initrd, start) {
        let archive = cpio::read(bytes).with_context(|| place(None, start))?;
        return Ok(Piece {
            place: start..start + archive.bytes.len(),
            method: None,
            unpacked: archive.bytes.to_vec(),
        });
    }
    let method = Method::of(bytes).with_context(|| match bytes.first() {
        Some(&ARCHIVE) => format!(
            "an archive at offset {start}, which is no multiple of {ALIGNMENT}: the kernel takes none there"
        ),
        _ => format!(
            "no initrd at offset {start}: neither an archive (cpio, newc) nor anything compressed that the kernel unpacks"
        ),
    })?;
    let (unpacked, rest) = method
        .unpack(bytes)
        .with_context(|| place(Some(method), start))?;
    Ok(Piece {
        place: start..initrd.len() - rest.len(),
        method: Some(method),
        unpacked,
    })
}

/// The piece that begins there, for messages.
fn place(method: Option<Method>, start: usize) -> String {
    match method {
        None => format!("the archive at offset {start}"),
        Some(method) => format!("the piece at offset {start} ({method})"),
    }
}

/// Where the next bytes are that are not zero.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    Some(at + rest.iter().position(|byte| *byte != 0)?)
}

fn is_archive(bytes: &[u8], start: usize) -> bool {
    bytes.get(start) == Some(&ARCHIVE) && start.is_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::{Method, read};
    use crate::archive::{
        compress::Compression,
        cpio::{Entry, pack, unpack_all},
    };

    const PACKED: [(Compression, Option<Method>); 4] = [
        (Compression::None, None),
        (Compression::Gzip, Some(Method::Gzip)),
        (Compression::Xz, Some(Method::Xz)),
        (Compression::Zstd, Some(Method::Zstd)),
    ];

    fn archive(name: &str) -> (Vec<Entry>, Vec<u8>) {
        let entries = vec![Entry::file(name, 0o644, name.repeat(99).into_bytes())];
        let archive = pack(&entries).unwrap();
        (entries, archive)
    }

    /// Every order of so many pieces.
    fn orders(count: u32) -> impl Iterator<Item = Vec<usize>> {
        (0..4usize.pow(count)).map(move |order| {
            let digit = |place| order / 4usize.pow(place) % 4;
            (0..count).map(digit).collect()
        })
    }

    #[test]
    fn pieces_in_every_order() {
        for (order, padding) in orders(2).chain(orders(3)).zip([0, 4, 508].iter().cycle()) {
            let (mut initrd, mut want, mut places) = (Vec::new(), Vec::new(), Vec::new());
            for (number, kind) in order.iter().enumerate() {
                let (compression, method) = PACKED[*kind];
                let (entries, archive) = archive(&format!("file{number}"));
                // Before a plain archive there have to be as many zeros as bring it to its place.
                initrd.resize(initrd.len().next_multiple_of(4) + padding, 0);
                let start = initrd.len();
                initrd.extend(compression.pack(archive).unwrap());
                places.push((start..initrd.len(), method));
                want.push(entries);
            }
            assert_eq!(unpack_all(&initrd).unwrap(), want, "{order:?}");
            let got = read(&initrd).map(|piece| piece.map(|piece| (piece.place, piece.method)));
            assert_eq!(got.collect::<Result<Vec<_>, _>>().unwrap(), places);
            // Nothing but padding may be cut off.
            for cut in 1..initrd.len().min(60) {
                let got = unpack_all(&initrd[..initrd.len() - cut]);
                let is_whole = places[order.len() - 1].0.end <= initrd.len() - cut;
                assert_eq!(got.is_ok(), is_whole, "{order:?} without {cut} bytes");
            }
        }
    }

    #[test]
    fn archives_in_one_stream() {
        let (one, mut both) = archive("one");
        let (two, archive) = archive("two");
        both.resize(both.len().next_multiple_of(512), 0);
        both.extend(archive);
        let packed = Compression::Gzip.pack(both).unwrap();
        assert_eq!(unpack_all(&packed).unwrap(), [one, two]);
        assert!(unpack_all(&[]).unwrap().is_empty());
    }

    #[test]
    fn damage_is_told_by_its_place() {
        let (_, archive) = archive("a");
        let packed = |bytes: &[u8]| Compression::Gzip.pack(bytes.to_vec()).unwrap();
        let len = archive.len();
        for (initrd, want) in [
            (
                [&archive[..], b"text"].concat(),
                format!("no initrd at offset {len}: neither an archive (cpio, newc) nor"),
            ),
            (
                [&archive[..], b"\0", &archive].concat(),
                format!("an archive at offset {}, which is no multiple of 4", len + 1),
            ),
            (
                [&archive[..], &packed(&archive)[..40]].concat(),
                format!("the piece at offset {len} (gzip): the gzip data is damaged: "),
            ),
            (
                archive[..80].to_vec(),
                "the archive at offset 0: its entry at byte 0 is damaged or cut off: ".to_owned(),
            ),
            (
                packed(b"text"),
                "the piece at offset 0 (gzip): it unpacks to something else than archives, at byte 0"
                    .to_owned(),
            ),
            (
                packed(&[&archive[..], &archive[..140]].concat()),
                format!(
                    "the piece at offset 0 (gzip): the archive at byte {len} of what it unpacks to: a, at byte 0 of it, is cut off"
                ),
            ),
            (
                b"\x89LZO\0".to_vec(),
                "the piece at offset 0 (lzo): the lzo data is damaged: it is cut off".to_owned(),
            ),
        ] {
            let error = format!("{:#}", unpack_all(&initrd).unwrap_err());
            assert!(error.starts_with(&want), "{error}\nis not: {want}");
        }
    }
}
