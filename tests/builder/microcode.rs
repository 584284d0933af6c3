//! Microcode in front of an initrd, as the kernel finds it there: updates of Debian's packages, and
//! some made for the test.

use std::fs;

use xtask::lab::microcode::{archive, debian};

/// Where the kernel looks for its processor's vendor.
const AMD: &str = "kernel/x86/microcode/AuthenticAMD.bin";
const INTEL: &str = "kernel/x86/microcode/GenuineIntel.bin";
/// Data that a processor reads where it lies in the initrd has to lie at a multiple of this.
const ALIGNMENT: usize = 16;
/// Bytes of an entry's header in the archive.
const HEADER: usize = 110;

/// An update as Intel's: a header, `bytes` of data.
fn intel(bytes: u32) -> Vec<u8> {
    let mut words = vec![0u32; 12 + bytes as usize / 4];
    words[0] = 1;
    words[3] = 0x000906ea;
    words[7] = bytes;
    words[8] = bytes + 48;
    words[12] = 0xdead;
    words[4] = 0u32.wrapping_sub(words.iter().copied().fold(0, u32::wrapping_add));
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn amd(patch: &[u8]) -> Vec<u8> {
    let number = |number: usize| (number as u32).to_le_bytes().to_vec();
    let table = vec![0; 32];
    [
        b"DMA\0".to_vec(),
        number(0),
        number(table.len()),
        table,
        number(1),
        number(patch.len()),
        patch.to_vec(),
    ]
    .concat()
}

/// Where the kernel finds a file before it unpacks anything (lib/earlycpio.c): from header to header, over zeros between them, by what
/// the name starts with.
fn kernel_finds<'a>(mut archive: &'a [u8], path: &str) -> Option<(usize, &'a [u8])> {
    let whole = archive.len();
    while archive.len() > HEADER {
        if archive[0] == 0 {
            archive = &archive[4..];
            continue;
        }
        let field = |number: usize| {
            let at = 6 + number * 8;
            usize::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16).unwrap()
        };
        assert!(archive.starts_with(b"070701"));
        let (mode, size, name) = (field(1), field(6), field(11));
        let at = (HEADER + name).next_multiple_of(4);
        let is_file = mode & 0o170000 == 0o100000;
        if is_file && archive[HEADER..].starts_with(path.as_bytes()) {
            return Some((whole - archive.len() + at, &archive[at..at + size]));
        }
        archive = &archive[(at + size).next_multiple_of(4)..];
    }
    None
}

#[test]
fn the_kernel_finds_both_vendors() {
    let room = tempfile::tempdir().unwrap();
    let write = |path: &str, data: &[u8]| {
        let path = room.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    };
    write("firmware/intel-ucode/06-9e-0a", &intel(2000));
    write("firmware/intel-ucode/06-01-01", &intel(48));
    write(
        "firmware/amd-ucode/microcode_amd_fam17h.bin",
        &amd(b"patch 17"),
    );
    write("firmware/amd-ucode/microcode_amd.bin", &amd(b"patch"));
    write("firmware/amd-ucode/microcode_amd.bin.asc", b"signature");
    write("firmware/amd-ucode/README", b"text");
    let firmware = room.path().join("firmware");
    let both = archive(std::slice::from_ref(&firmware)).unwrap();
    assert_eq!(both.len() % 4, 0);
    for (file, want) in [
        (AMD, [amd(b"patch"), amd(b"patch 17")].concat()),
        (INTEL, [intel(48), intel(2000)].concat()),
    ] {
        let (at, data) = kernel_finds(&both, file).unwrap();
        assert_eq!((data, at % ALIGNMENT), (want.as_slice(), 0), "{file}");
    }
    // One folder for each, and archives made elsewhere, give the same.
    let folders = ["amd-ucode", "intel-ucode"].map(|name| firmware.join(name));
    assert_eq!(archive(&folders).unwrap(), both);
    let made = room.path().join("made.cpio");
    fs::write(&made, &both).unwrap();
    assert_eq!(archive(&[made]).unwrap(), both);
    assert!(archive(&[]).unwrap().is_empty());
}

/// As Fedora, Arch and openSUSE ship it: each file compressed, papers, too, and archives packed by gzip or with others behind.
#[test]
fn as_distributions_pack_it() {
    use builder::archive::compress::Compression::{Gzip, Xz, Zstd};
    let room = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = room.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (plain, packed) = (folder("plain/amd-ucode"), folder("packed/amd-ucode"));
    for (name, patch, compression) in [
        ("microcode_amd.bin", b"a", Xz),
        ("microcode_amd_fam17h.bin", b"b", Zstd),
        ("microcode_amd_fam19h.bin", b"c", Gzip),
    ] {
        fs::write(plain.join(name), amd(patch)).unwrap();
        let suffix = compression.module_suffix().trim_start_matches(".ko");
        let bytes = compression.pack(amd(patch)).unwrap();
        fs::write(packed.join(format!("{name}{suffix}")), bytes).unwrap();
    }
    for paper in ["README.xz", "LICENSE.amd-ucode", "microcode_amd.bin.asc.xz"] {
        fs::write(packed.join(paper), b"text").unwrap();
    }
    let want = archive(&[plain]).unwrap();
    assert!(archive(&[packed]).unwrap() == want);
    let early = room.path().join("early.img");
    for compression in [Gzip, Xz, Zstd] {
        fs::write(&early, compression.pack(want.clone()).unwrap()).unwrap();
        assert!(archive(std::slice::from_ref(&early)).unwrap() == want);
    }
    let rest = Zstd.pack(want.clone()).unwrap();
    fs::write(&early, [want.clone(), vec![0; 512], rest].concat()).unwrap();
    let twice = archive(std::slice::from_ref(&early)).unwrap();
    let both = [amd(b"a"), amd(b"b"), amd(b"c")].concat().repeat(2);
    assert_eq!(kernel_finds(&twice, AMD).unwrap().1, both);
}

/// Debian's packages, unpacked once.
#[test]
fn that_of_debian() {
    let firmware = debian().unwrap();
    let both = archive(std::slice::from_ref(&firmware)).unwrap();
    for (folder, file) in [("amd-ucode", AMD), ("intel-ucode", INTEL)] {
        let (at, data) = kernel_finds(&both, file).unwrap();
        assert_eq!(at % ALIGNMENT, 0);
        let files = fs::read_dir(firmware.join(folder)).unwrap();
        let bytes: u64 = files
            .map(|file| file.unwrap())
            .filter(|file| !file.file_name().to_string_lossy().ends_with("README"))
            .map(|file| file.metadata().unwrap().len())
            .sum();
        assert_eq!(data.len() as u64, bytes, "{folder}");
        assert!(bytes > 10_000, "{bytes}");
    }
}

#[test]
fn what_no_kernel_takes_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let refuse = |folder: &str, data: &[u8], want: &str| {
        let folder = room.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), data).unwrap();
        let error = format!("{:#}", archive(&[folder]).unwrap_err());
        assert!(error.contains(want), "{error}\nlacks {want}");
    };
    let update = intel(2000);
    refuse("intel-ucode", &update[..1000], "cut off");
    refuse("intel-ucode", b"text", "no header of version 1");
    refuse("intel-ucode", b"", "is empty");
    let mut damaged = update.clone();
    damaged[100] ^= 1;
    refuse("intel-ucode", &damaged, "checksum is wrong");
    let container = amd(b"patch");
    refuse("amd-ucode", &container[..container.len() - 1], "cut off");
    refuse("amd-ucode", &update, "no microcode of AMD's");
    refuse(
        "other",
        &update,
        "neither a folder intel-ucode or amd-ucode",
    );
    let is_refused = |folder: &str, data: &[u8]| {
        let folder = room.path().join(folder);
        fs::write(folder.join("file"), data).unwrap();
        archive(&[folder]).is_err()
    };
    for len in 1..update.len() {
        assert!(is_refused("intel-ucode", &update[..len]), "{len}");
    }
    for len in 0..container.len() {
        let is_whole_table = len == 44;
        assert_eq!(
            is_refused("amd-ucode", &container[..len]),
            !is_whole_table,
            "{len}"
        );
    }
}
