//! Unified kernel images: read back section by section, signed, and what is refused.

use std::fs;
use std::path::Path;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::PeFile64;
use object::write::pe::{NtHeaders, Writer};
use object::{Object, ObjectSection};

use builder::arch::Arch;
use builder::uki::kernel::{self, Facts};
use builder::uki::pe_image::{Section, append, checksum};
use builder::uki::{Request, Uki, build, initrd};
use xtask::lab::kernels::{self, Series};
use xtask::lab::tools;
use xtask::lab::uki::{sign, stub};

const SECTIONS: [Section; 2] = [
    Section {
        name: ".one",
        data: b"the first",
    },
    Section {
        name: ".another",
        data: &[7; 5000],
    },
];

/// An EFI application with two sections, aligned in memory to `alignment`; its headers have room for two more.
fn image(machine: pe::Machine, alignment: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(true, alignment, 512, &mut bytes);
    writer.reserve_dos_header();
    writer.reserve_nt_headers(16);
    writer.reserve_section_headers(2);
    let text = writer.reserve_text_section(5);
    let data = writer.reserve_data_section(9000, 3);
    writer.write_empty_dos_header().unwrap();
    writer.write_nt_headers(NtHeaders {
        machine,
        time_date_stamp: 0,
        characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE,
        major_linker_version: 0,
        minor_linker_version: 0,
        address_of_entry_point: text.virtual_address,
        image_base: 0,
        major_operating_system_version: 0,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 0,
        minor_subsystem_version: 0,
        subsystem: pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        dll_characteristics: pe::DllFlags(0),
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    });
    writer.write_section_headers();
    writer.write_section(text.file_offset, b"code.");
    writer.write_section(data.file_offset, b"abc");
    bytes
}

/// Checks that `image` is `stub` with `sections` behind it: nothing of the stub is lost, and nothing overlaps.
fn has(image: &[u8], stub: &[u8], sections: &[(&str, &[u8])]) {
    let (before, after) = (
        PeFile64::parse(stub).unwrap(),
        PeFile64::parse(image).unwrap(),
    );
    let own = before.sections().map(|section| {
        let name = section.name().unwrap().to_owned();
        (name, section.data().unwrap())
    });
    let more = sections
        .iter()
        .map(|(name, data)| ((*name).to_owned(), *data));
    let wanted: Vec<(String, &[u8])> = own.chain(more).collect();
    let found: Vec<(String, &[u8])> = after
        .sections()
        .map(|section| (section.name().unwrap().to_owned(), section.data().unwrap()))
        .collect();
    assert!(found == wanted, "sections lost or changed");

    let (old, new) = (before.nt_headers(), after.nt_headers());
    let (old, new) = (&old.optional_header, &new.optional_header);
    assert_eq!(new.address_of_entry_point, old.address_of_entry_point);
    assert_eq!(new.size_of_headers, old.size_of_headers);
    let mut file_end = new.size_of_headers.get(LE);
    let mut end = file_end;
    for (place, section) in after.section_table().iter().enumerate() {
        let (offset, address) = (&section.pointer_to_raw_data, &section.virtual_address);
        assert!(offset.get(LE) >= file_end && address.get(LE) >= end);
        file_end = offset.get(LE) + section.size_of_raw_data.get(LE);
        end = address.get(LE) + section.virtual_size.get(LE);
        if place >= before.section_table().len() {
            assert_eq!(offset.get(LE) % new.file_alignment.get(LE), 0);
            assert_eq!(address.get(LE) % 4096, 0);
        }
    }
    assert_eq!(file_end as usize, image.len());
    let size = end.next_multiple_of(new.section_alignment.get(LE));
    assert_eq!(new.size_of_image.get(LE), size);
}

#[test]
fn sections_are_read_back() {
    for alignment in [512, 4096, 65536] {
        let stub = image(pe::IMAGE_FILE_MACHINE_AMD64, alignment);
        let mut longer = stub.clone();
        longer.extend(b"symbols");
        let made = append(&stub, &SECTIONS).unwrap();
        has(
            &made,
            &stub,
            &SECTIONS.map(|section| (section.name, section.data)),
        );
        assert_eq!(append(&longer, &SECTIONS).unwrap(), made);
    }
    for arch in Arch::ALL {
        let stub = fs::read(stub(arch).unwrap()).unwrap();
        let made = append(&stub, &SECTIONS).unwrap();
        has(&made, &stub, &SECTIONS.map(|one| (one.name, one.data)));
    }
}

#[test]
fn the_initrd_is_found() {
    let stub = image(pe::IMAGE_FILE_MACHINE_AMD64, 4096);
    let [name, data] = [".initrd", "its bytes"];
    let data = data.as_bytes();
    let made = append(&stub, &[Section { name, data }]).unwrap();
    let (offset, found) = initrd(&made).unwrap();
    assert_eq!(found, data);
    assert_eq!(&made[offset..][..data.len()], data);
    assert_eq!(initrd(b"070701").unwrap(), (0, &b"070701"[..]));
    for (image, reason) in [
        (&stub[..], "without a section .initrd"),
        (&made[..offset], "ends within its section .initrd"),
        (b"MZ", "a damaged PE image"),
    ] {
        let error = initrd(image).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// What objcopy computed when systemd's stub was made.
#[test]
fn the_checksum_is_that_of_binutils() {
    let bytes = fs::read(stub(Arch::X86_64).unwrap()).unwrap();
    let file = PeFile64::parse(bytes.as_slice()).unwrap();
    let written = file.nt_headers().optional_header.check_sum.get(LE);
    let start = file.dos_header().nt_headers_offset() as usize;
    let mut blank = bytes.clone();
    blank[start + 88..][..4].fill(0);
    assert_eq!(checksum(&blank), written);
}

fn refused(image: &[u8], sections: &[Section], reason: &str) {
    let error = format!(
        "{:#}",
        append(image, sections).map(|made| made.len()).unwrap_err()
    );
    assert!(error.contains(reason), "{error} instead of {reason}");
}

#[test]
fn images_that_cannot_get_sections_are_refused() {
    let stub = image(pe::IMAGE_FILE_MACHINE_AMD64, 4096);
    refused(b"MZ", &SECTIONS, "not a PE image");
    refused(b"#!/bin/sh", &SECTIONS, "not a PE image");
    let own = Section {
        name: ".data",
        data: b"",
    };
    refused(&stub, &[own], "has a section .data");
    let made = append(&stub, &SECTIONS).unwrap();
    refused(&made, &SECTIONS[..1], "has a section .one");
    refused(
        &made,
        &[Section {
            name: ".more",
            data: b"",
        }],
        "no room for 1 more sections",
    );
    let long = Section {
        name: ".too-long",
        data: b"",
    };
    refused(&stub, &[long], "too long");
    let start = PeFile64::parse(stub.as_slice())
        .unwrap()
        .dos_header()
        .nt_headers_offset() as usize;
    // In the optional header: place and size of a signature, alignments in memory and in the file, and how much of that is headers.
    for (offsets, reason) in [
        (&[144, 148][..], "signed"),
        (&[32], "aligned to 4097 bytes"),
        (&[36], "aligned to 513 bytes"),
        (&[63], "ends before"),
    ] {
        let mut changed = stub.clone();
        for offset in offsets {
            changed[start + 24 + offset] = 1;
        }
        refused(&changed, &SECTIONS, reason);
    }
}

/// Whatever is wrong with an image, it is told and nothing panics.
#[test]
fn damaged_images() {
    let stub = image(pe::IMAGE_FILE_MACHINE_AMD64, 4096);
    for len in 0..stub.len() {
        // A short image may be whole as far as its headers say.
        let _ = append(&stub[..len], &SECTIONS);
    }
    for place in 0..512 {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut damaged = stub.clone();
            damaged[place] = value;
            let _ = append(&damaged, &SECTIONS);
            let _ = kernel::read(&damaged);
        }
    }
}

#[test]
fn kernels_tell_what_they_are() {
    for series in [Series::Cloud61, Series::Cloud612, Series::Cloud72] {
        let found = kernels::fetch(series).unwrap();
        let wanted = Facts {
            machine: pe::IMAGE_FILE_MACHINE_AMD64,
            release: Some(found.release),
            cmdline_max: 2047,
        };
        assert_eq!(
            kernel::read(&fs::read(found.vmlinuz).unwrap()).unwrap(),
            wanted
        );
    }
    let arm = |magic: &[u8], banner: &str| {
        let mut image = image(pe::IMAGE_FILE_MACHINE_ARM64, 4096);
        image[56..60].copy_from_slice(magic);
        image.extend(banner.as_bytes());
        kernel::read(&image)
    };
    let found = arm(b"ARM\x64", "Linux version 6.1.0-arm64 (me@here)").unwrap();
    assert_eq!(found.machine, pe::IMAGE_FILE_MACHINE_ARM64);
    assert_eq!(found.release.as_deref(), Some("6.1.0-arm64"));
    assert_eq!(arm(b"ARM\x64", "").unwrap().release, None);
    assert!(arm(b"BEEF", "").is_err());
}

/// An image of the real stub and a real kernel.
fn request(room: &Path) -> Request {
    let [initrd, os_release] = ["initrd", "os-release"].map(|name| room.join(name));
    fs::write(&initrd, "070701, not really").unwrap();
    fs::write(&os_release, "PRETTY_NAME=Test\n").unwrap();
    Request {
        stub: stub(Arch::X86_64).unwrap(),
        vmlinuz: kernels::fetch(Series::Cloud61).unwrap().vmlinuz,
        initrd,
        cmdline: "one two=\"three\nfour\"\n".to_owned(),
        os_release: Some(os_release),
        uname: None,
    }
}

#[test]
fn an_image_has_everything_and_can_be_signed() {
    tools::require(&[tools::OPENSSL, tools::SBSIGN, tools::SBVERIFY]).unwrap();
    let room = tempfile::tempdir().unwrap();
    let request = request(room.path());
    let Uki { image, sections } = build(&request).unwrap();
    assert_eq!(build(&request).unwrap().image, image);
    let kernel = kernels::fetch(Series::Cloud61).unwrap();
    let vmlinuz = fs::read(&kernel.vmlinuz).unwrap();
    let wanted: [(&str, &[u8]); 5] = [
        (".osrel", b"PRETTY_NAME=Test\n"),
        (".cmdline", b"one two=\"three four\""),
        (".uname", kernel.release.as_bytes()),
        (".initrd", b"070701, not really"),
        (".linux", &vmlinuz),
    ];
    has(&image, &fs::read(&request.stub).unwrap(), &wanted);
    assert_eq!(sections, wanted.map(|(name, data)| (name, data.len())));

    let [file, key] = ["image", "key"].map(|name| room.path().join(name));
    let certificate = tools::OVMF_CERTIFICATE.find().unwrap();
    let mut openssl = tools::OPENSSL.command().unwrap();
    openssl.args(["rsa", "-passin", "pass:snakeoil", "-in"]);
    openssl.arg(tools::OVMF_KEY.find().unwrap());
    tools::run(openssl.arg("-out").arg(&key)).unwrap();
    let verify = |image: &[u8]| {
        fs::write(&file, image).unwrap();
        let mut sbverify = tools::SBVERIFY.command().unwrap();
        tools::run(sbverify.arg("--cert").arg(&certificate).arg(&file))
    };
    let mut signed = sign(&image, &key, &certificate).unwrap();
    verify(&signed).unwrap();
    assert!(verify(&image).is_err());
    // One bit of the last section.
    signed[image.len() - 1000] ^= 1;
    assert!(verify(&signed).is_err());
}

#[test]
fn what_cannot_be_an_image_is_refused_with_what_to_do() {
    let room = tempfile::tempdir().unwrap();
    let good = request(room.path());
    let file = |name: &str, bytes: &[u8]| {
        let path = room.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let refused = |change: &dyn Fn(&mut Request), reasons: &[&str]| {
        let mut request = good.clone();
        change(&mut request);
        let error = format!(
            "{:#}",
            build(&request).map(|made| made.image.len()).unwrap_err()
        );
        for reason in reasons {
            assert!(error.contains(reason), "{error} lacks {reason}");
        }
    };
    let (uki, text) = (
        file("uki", &build(&good).unwrap().image),
        file("text", b"text"),
    );
    let foreign = file("foreign", &image(pe::IMAGE_FILE_MACHINE_ARM64, 4096));
    let (elf, gz) = (file("elf", b"\x7fELF"), file("gz", b"\x1f\x8b"));
    refused(
        &|one| one.stub = uki.clone(),
        &["section .osrel", "not the stub"],
    );
    refused(&|one| one.stub = text.clone(), &["text", "not a PE image"]);
    refused(
        &|one| one.stub = foreign.clone(),
        &["another machine", "--stub"],
    );
    refused(
        &|one| one.vmlinuz = text.clone(),
        &["text", "CONFIG_EFI_STUB"],
    );
    refused(&|one| one.vmlinuz = good.stub.clone(), &["setup header"]);
    refused(&|one| one.vmlinuz = elf.clone(), &["bzImage"]);
    refused(&|one| one.vmlinuz = gz.clone(), &["gunzip"]);
    refused(&|one| one.initrd = file("none", b""), &["none", "empty"]);
    refused(&|one| one.initrd = "/nowhere/x".into(), &["/nowhere/x"]);
    refused(&|one| one.cmdline = "\0".to_owned(), &["zero byte"]);
    refused(&|one| one.cmdline = "x".repeat(2048), &["2048", "2047"]);
}
