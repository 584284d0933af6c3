//! Module files: compressed as the kernel can undo it, signatures intact, and what is refused.

use std::{fs, path::Path};

use anyhow::Result;
use object::{BinaryFormat, Endianness, SectionKind, write::Object};
use toehold::format::plan::{Key, Plan};

use super::{Built, Request, build, module, request, write_packed};
use crate::{
    archive::{compress::Compression, cpio},
    pack,
    profile::Pack,
};

const RULES: &str = "names = [\"one\", \"two\", \"three\"]";
const PLAIN: &str = "CONFIG_MODULES=y\nCONFIG_MODULE_SIG=y\n";
const XZ: &str = "CONFIG_MODULES=y\nCONFIG_MODULE_COMPRESS_XZ=y\nCONFIG_MODULE_DECOMPRESS=y\n";
const ZSTD: &str = "CONFIG_MODULES=y\nCONFIG_MODULE_COMPRESS_ZSTD=y\nCONFIG_MODULE_DECOMPRESS=y\n";
const SIGNATURE: &[u8] = b"signature~Module signature appended~\n";

fn signed(name: &str) -> Vec<u8> {
    [&module(&[&format!("name={name}")]), SIGNATURE].concat()
}

/// A kernel whose package has two modules as `.ko.xz` and one as `.ko`, all signed; with this configuration. They are to be files
/// in the initrd.
fn kernel(config: Option<&str>) -> (tempfile::TempDir, Request) {
    let room = tempfile::tempdir().unwrap();
    let modules = room.path().join("lib/modules/1.2.3");
    for (name, suffix) in [("one", ".ko.xz"), ("two", ".ko.xz"), ("three", ".ko")] {
        write_packed(&modules, &format!("kernel/{name}{suffix}"), signed(name));
    }
    fs::write(room.path().join("init"), "#!init").unwrap();
    if let Some(config) = config {
        fs::write(modules.join("config"), config).unwrap();
    }
    let request = Request {
        module_pack: Some(Pack::None),
        ..request(room.path(), &modules, RULES)
    };
    (room, request)
}

/// The modules' files by name, and the suffix that the plan tells the init.
fn modules(built: &Built) -> (Vec<(String, Vec<u8>)>, String) {
    let entries = cpio::unpack(&built.archive).unwrap();
    let plan = Plan::parse(&entries[1].data).unwrap();
    let suffix = String::from_utf8(plan.text(Key::Suffix).to_vec()).unwrap();
    let modules = entries
        .into_iter()
        .filter_map(|entry| {
            let name = entry.path.strip_prefix("lib/modules/")?.to_owned();
            Some((name, entry.data))
        })
        .collect();
    (modules, suffix)
}

#[test]
fn one_compression_for_all_and_signatures_stay() {
    use Compression::{None as Uncompressed, Xz, Zstd};
    for (config, wanted, want) in [
        (None, None, Uncompressed),
        (Some(PLAIN), None, Uncompressed),
        (Some(XZ), None, Xz),
        // The package's xz is not what this kernel undoes.
        (Some(ZSTD), None, Uncompressed),
        (Some(ZSTD), Some(Zstd), Zstd),
        (Some(XZ), Some(Xz), Xz),
        (Some(XZ), Some(Uncompressed), Uncompressed),
        (None, Some(Uncompressed), Uncompressed),
    ] {
        let (_room, request) = kernel(config);
        let request = Request {
            module_compress: wanted,
            ..request
        };
        let (files, suffix) = modules(&build(&request).unwrap());
        assert_eq!(suffix, want.module_suffix(), "{config:?} {wanted:?}");
        for (file, name) in files.iter().zip(["one", "three", "two"]) {
            assert_eq!(file.0, format!("{name}{}", want.module_suffix()));
            assert_eq!(want.unpack(&file.1).unwrap(), signed(name));
        }
        assert_eq!(files.len(), 3);
        if want == Xz {
            let package = request.modules_dir.join("kernel/one.ko.xz");
            assert_eq!(
                files[0].1,
                fs::read(package).unwrap(),
                "packed again for nothing"
            );
        }
    }
}

#[test]
fn a_stripped_module_is_compressed_again() {
    let (_room, request) = kernel(Some(XZ));
    let mut elf = Object::new(
        BinaryFormat::Elf,
        object::Architecture::X86_64,
        Endianness::Little,
    );
    for name in [".modinfo", ".BTF"] {
        let section = elf.add_section(
            Vec::new(),
            name.as_bytes().to_vec(),
            SectionKind::ReadOnlyData,
        );
        elf.append_section_data(section, b"name=one\0", 1);
    }
    // Nothing of it is needed to run; object's writer marks read-only data as needed.
    let debug = elf.add_section(Vec::new(), b".debug_info".to_vec(), SectionKind::Debug);
    elf.append_section_data(debug, &[7; 5000], 1);
    write_packed(
        &request.modules_dir,
        "kernel/one.ko.xz",
        elf.write().unwrap(),
    );
    let (files, _) = modules(&build(&request).unwrap());
    let plain = Compression::Xz.unpack(&files[0].1).unwrap();
    assert!(
        plain.starts_with(b"\x7fELF") && plain.len() < 3000,
        "{}",
        plain.len()
    );
    assert_eq!(
        Compression::Xz.unpack(&files[1].1).unwrap(),
        signed("three")
    );
}

#[test]
fn the_module_pack_or_each_by_itself() {
    use Compression::Xz;
    for (asked, wanted, want_pack) in [
        (None, None, true),
        (None, Some(Xz), false),
        (None, Some(Compression::None), false),
        (Some(Pack::Auto), None, true),
        (Some(Pack::Auto), Some(Xz), false),
        (Some(Pack::Always), None, true),
        (Some(Pack::None), None, false),
        (Some(Pack::None), Some(Xz), false),
    ] {
        let (_room, request) = kernel(Some(XZ));
        let request = Request {
            module_pack: asked,
            module_compress: wanted,
            ..request
        };
        let built = build(&request).unwrap();
        let again = build(&request).unwrap();
        assert!(built.archive == again.archive, "{asked:?} {wanted:?}");
        assert_eq!(built.manifest, again.manifest);
        let archives = cpio::unpack_all(&built.archive).unwrap();
        let files = archives.last().unwrap();
        let plan = Plan::parse(&files[1].data).unwrap();
        let in_files = files.iter().filter(|file| file.path.contains(".ko"));
        let in_groups = plan.groups_of_pack().count();
        if want_pack {
            assert_eq!((archives.len(), archives[0].len()), (2, 1));
            assert_eq!(archives[0][0].path, "toehold.pack");
            assert_eq!((in_files.count(), in_groups), (0, 1));
            assert_eq!(plan.text(Key::Suffix), b".ko");
            // Signatures stay.
            for module in pack::decode(&archives[0][0].data, &plan).unwrap() {
                assert_eq!(module.file, signed(&module.name), "{}", module.name);
            }
        } else {
            assert_eq!(archives.len(), 1, "{asked:?} {wanted:?}");
            assert_eq!((in_files.count(), in_groups), (3, 0));
        }
    }
    for wanted in [Xz, Compression::None] {
        let (_room, request) = kernel(Some(XZ));
        let error = refusal(build(&Request {
            module_pack: Some(Pack::Always),
            module_compress: Some(wanted),
            ..request
        }));
        assert_eq!(
            error,
            "the module pack compresses all modules, --module-compress each: leave one of them out"
        );
    }
}

/// What the profile says holds where nothing else was asked for.
#[test]
fn the_profile_says_whether_there_is_a_pack() {
    for (rule, asked, want_pack) in [
        ("always", None, true),
        ("auto", None, true),
        ("none", None, false),
        ("none", Some(Pack::Auto), true),
        ("always", Some(Pack::None), false),
    ] {
        let (room, files) = kernel(None);
        let rules = format!("{RULES}\npack = \"{rule}\"");
        let built = build(&Request {
            module_pack: asked,
            ..request(room.path(), &files.modules_dir, &rules)
        });
        let archives = cpio::unpack_all(&built.unwrap().archive).unwrap();
        assert_eq!(archives.len() == 2, want_pack, "{rule} {asked:?}");
    }
}

fn refusal(result: Result<Built>) -> String {
    format!("{:#}", result.map(|_| "an initrd").unwrap_err())
}

#[test]
fn what_the_kernel_cannot_load_is_refused() {
    for (config, wanted, want) in [
        (
            None,
            Compression::Xz,
            "is not known, because its configuration is at none of",
        ),
        (
            None,
            Compression::Zstd,
            "name the file with --kernel-config, or use --module-compress none",
        ),
        (
            Some(PLAIN),
            Compression::Xz,
            "CONFIG_MODULE_DECOMPRESS is not set in",
        ),
        (
            Some(ZSTD),
            Compression::Xz,
            "decompresses only zstd modules",
        ),
        (Some(XZ), Compression::Zstd, "use --module-compress xz"),
    ] {
        let (_room, request) = kernel(config);
        let error = refusal(build(&Request {
            module_compress: Some(wanted),
            ..request
        }));
        assert!(error.contains(want), "{error}\nlacks {want}");
    }
    let (room, request) = kernel(None);
    let file = room.path().join("elsewhere");
    fs::write(&file, ZSTD).unwrap();
    let request = Request {
        module_compress: Some(Compression::Zstd),
        kernel_config: Some(file),
        ..request
    };
    assert!(build(&request).is_ok());
}

#[test]
fn enforced_signatures() {
    let enforced = format!("{XZ}CONFIG_MODULE_SIG_FORCE=y\n");
    let (room, signed) = kernel(Some(&enforced));
    assert!(build(&signed).is_ok());
    let always = request(
        room.path(),
        &signed.modules_dir,
        &format!("{RULES}\nstrip = \"always\""),
    );
    let error = refusal(build(&always));
    assert!(
        error.contains("modules.strip = \"always\"") && error.contains("use \"auto\""),
        "{error}"
    );

    let (_room, unsigned) = kernel(Some(&enforced));
    write_packed(
        &unsigned.modules_dir,
        "kernel/two.ko.xz",
        module(&["name=two"]),
    );
    let error = refusal(build(&unsigned));
    assert!(
        error.contains("1 of the modules have no signature"),
        "{error}"
    );
    assert!(error.contains("config): two; sign"), "{error}");
    fs::write(unsigned.modules_dir.join("config"), XZ).unwrap();
    assert!(build(&unsigned).is_ok(), "nobody enforces signatures");
}

#[test]
fn modprobe_lies_where_the_kernel_looks() {
    let link = |config: &str| {
        let (_room, request) = kernel(Some(config));
        // With the module pack in front, too.
        let request = Request {
            module_pack: None,
            ..request
        };
        let archives = cpio::unpack_all(&build(&request).unwrap().archive).unwrap();
        let link = archives
            .into_iter()
            .flatten()
            .find(|entry| entry.mode & cpio::KIND == cpio::SYMLINK);
        link.map(|link| (link.path, String::from_utf8(link.data).unwrap()))
    };
    let to_init = |path: &Path| Some((path.display().to_string(), "/init".to_owned()));
    assert_eq!(link(PLAIN), to_init("sbin/modprobe".as_ref()));
    let elsewhere = format!("{PLAIN}CONFIG_MODPROBE_PATH=\"/usr/bin/modprobe\"\n");
    assert_eq!(link(&elsewhere), to_init("usr/bin/modprobe".as_ref()));
    assert_eq!(link(&format!("{PLAIN}CONFIG_MODPROBE_PATH=\"\"\n")), None);
}

#[test]
fn a_kernel_that_cannot_unpack_the_initrd_is_warned_of() {
    use Compression::{Gzip, None as Uncompressed, Xz, Zstd};
    let able = format!("{PLAIN}CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n");
    let cannot = "this kernel does not unpack it: --compress names another compression (CONFIG_RD_XZ is not set in ";
    let takes_none = "this kernel takes no initrd (CONFIG_BLK_DEV_INITRD is not set in ";
    for (config, compress, want) in [
        (None, Xz, &[][..]),
        (Some(able.as_str()), Gzip, &[]),
        (Some(&able), Zstd, &[]),
        (Some(&able), Uncompressed, &[]),
        (Some(&able), Xz, &[cannot]),
        (Some(PLAIN), Uncompressed, &[takes_none]),
        (Some(PLAIN), Xz, &[takes_none, cannot]),
    ] {
        let (_room, request) = kernel(config);
        let warnings = build(&Request {
            compress,
            ..request
        });
        let warnings = warnings.unwrap().manifest.warnings;
        assert_eq!(warnings.len(), want.len(), "{warnings:?}");
        for (warning, want) in warnings.iter().zip(want) {
            assert!(
                warning.starts_with(want),
                "{warning}\ndoes not start with {want}"
            );
        }
    }
}

#[test]
fn a_kernel_that_loads_no_module_of_an_initrd_is_warned_of() {
    let able = format!("{PLAIN}CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\nCONFIG_IMA_APPRAISE=y\n");
    let other = "CONFIG_IMA_APPRAISE_REQUIRE_FIRMWARE_SIGS=y\nCONFIG_IMA_APPRAISE_MODSIG=y\nCONFIG_SECURITY_LOADPIN_ENFORCE=y\n";
    let refuses = "CONFIG_IMA_APPRAISE_BUILD_POLICY=y\nCONFIG_IMA_APPRAISE_REQUIRE_MODULE_SIGS=y\n";
    for pack in [Some(Pack::None), None] {
        for (more, is_warned) in [("", false), (other, false), (refuses, true)] {
            let (_room, request) = kernel(Some(&format!("{able}{more}")));
            let built = build(&Request {
                module_pack: pack,
                compress: Compression::Zstd,
                ..request
            });
            let built = built.unwrap();
            let warnings = &built.manifest.warnings;
            assert_eq!(warnings.len(), usize::from(is_warned), "{warnings:?}");
            if let [warning] = &warnings[..] {
                let want = "this kernel loads no module of an initrd: IMA wants";
                assert!(warning.starts_with(want), "{warning}");
                assert!(warning.contains("MODULE_SIGS=y in "), "{warning}");
            }
            // It changes nothing: modules are refused as files, too.
            let groups = built
                .manifest
                .entries
                .iter()
                .filter(|item| item.group.is_some());
            assert_eq!(groups.count(), if pack.is_none() { 3 } else { 0 });
        }
    }
}

#[test]
fn microcode_lies_in_front_and_is_for_x86_64() {
    let (room, request) = kernel(None);
    let folder = room.path().join("intel-ucode");
    fs::create_dir(&folder).unwrap();
    // A header of version 1, for 2,048 bytes, whose words add up to 0.
    let mut update = vec![0; 2048];
    update[0] = 1;
    update[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(folder.join("06-01-01"), update).unwrap();
    let with = Request {
        microcode: vec![folder],
        ..request.clone()
    };
    let (plain, built) = (build(&request).unwrap(), build(&with).unwrap());
    let front = built.manifest.totals.microcode_bytes;
    assert_eq!(built.archive.len(), front + plain.archive.len());
    assert_eq!(front % 4, 0);
    let archives = cpio::unpack_all(&built.archive).unwrap();
    assert_eq!(
        archives[0].last().unwrap().path,
        "kernel/x86/microcode/GenuineIntel.bin"
    );
    assert_eq!(archives[1], cpio::unpack(&plain.archive).unwrap());
    // The module pack lies behind it.
    let packed = Request {
        module_pack: Some(Pack::Always),
        ..with.clone()
    };
    let with_pack = cpio::unpack_all(&build(&packed).unwrap().archive).unwrap();
    let [microcode, pack, _] = &with_pack[..] else {
        panic!("{} archives", with_pack.len());
    };
    assert_eq!(*microcode, archives[0]);
    assert_eq!(pack[0].path, "toehold.pack");
    let error = refusal(build(&Request {
        arch: crate::arch::Arch::Aarch64,
        ..with
    }));
    assert_eq!(
        error,
        "microcode is for x86_64, and this initrd for aarch64"
    );
}
