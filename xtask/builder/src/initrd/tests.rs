//! The builder on modules directories made for the test.

mod packing;
mod trees;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use object::{Architecture, BinaryFormat, Endianness, SectionKind, write::Object};
use toehold::format::{
    pack::{ENTRY, MAGIC, STREAMS},
    plan::{ALWAYS, GROUP, Key, Plan},
};

use crate::{
    archive::{compress::Compression, cpio},
    initrd::{Built, Request, build, manifest::Kind},
    kernel::catalogue::{Catalogue, Found},
    pack,
    profile::Pack,
};

/// An ELF file with these tags.
fn module(tags: &[&str]) -> Vec<u8> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = elf.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.bytes().chain([0])).collect();
    elf.append_section_data(section, &tags, 1);
    elf.write().unwrap()
}

/// A module file with these tags, compressed as the end of `path` tells.
fn write_module(directory: &Path, path: &str, tags: &[&str]) {
    write_packed(directory, path, module(tags));
}

fn write_packed(directory: &Path, path: &str, module: Vec<u8>) {
    let path = directory.join(path);
    let packed = Compression::of_module(&path).pack(module).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, packed).unwrap();
}

/// lib/modules/1.2.3 and lib/firmware in a directory that goes away at the end.
fn kernel() -> (tempfile::TempDir, PathBuf) {
    let room = tempfile::tempdir().unwrap();
    let modules = room.path().join("lib/modules/1.2.3");
    for (path, tags) in [
        ("kernel/drivers/md/dm-mod.ko.xz", &["depends="][..]),
        (
            "kernel/drivers/md/dm-verity.ko.zst",
            &["depends=dm-mod,reed-solomon", "softdep=pre: sha256"],
        ),
        (
            "kernel/drivers/ata/ahci.ko",
            &[
                "depends=libata",
                "alias=pci:v00008086d00002922sv*sd*bc*sc*i*",
                "firmware=ahci.bin",
                "firmware=none.bin",
            ],
        ),
        ("kernel/drivers/ata/libata.ko.gz", &["depends="]),
        ("kernel/drivers/ata/pata_old.ko", &["depends=libata"]),
        ("kernel/lib/reed_solomon.ko", &["depends=builtin_one"]),
        (
            "kernel/crypto/sha256-fast.ko",
            &["depends=", "alias=sha256", "alias=crypto-sha256"],
        ),
        (
            "kernel/crypto/sha256-slow.ko",
            &["depends=", "alias=sha256"],
        ),
        ("kernel/fs/loop-a.ko", &["depends=loop-b"]),
        ("kernel/fs/loop-b.ko", &["depends=loop_a"]),
        ("kernel/fs/orphan.ko", &["depends=nowhere"]),
    ] {
        write_module(&modules, path, tags);
    }
    fs::write(
        modules.join("modules.builtin"),
        "kernel/lib/builtin-one.ko\nkernel/fs/ext4.ko\n",
    )
    .unwrap();
    fs::write(
        modules.join("modules.builtin.modinfo"),
        "ext4.alias=fs-ext4\0ext4.license=GPL\0",
    )
    .unwrap();
    let firmware = room.path().join("lib/firmware");
    fs::create_dir_all(&firmware).unwrap();
    fs::write(firmware.join("ahci.bin"), "firmware").unwrap();
    fs::write(room.path().join("init"), "#!init").unwrap();
    (room, modules)
}

/// A request with a profile that has these lines in its section `modules`.
fn request(room: &Path, modules_dir: &Path, rules: &str) -> Request {
    let profile = room.join("test.toml");
    let text = format!(
        "mode = \"usr\"\n[modules]\n{rules}\n[usr]\nmountpoint = \"/sysusr/usr\"\nimage = \"stage2\"\n\
         [emergency]\nextra_files = {{ \"/etc/note\" = \"init\" }}\n"
    );
    fs::write(&profile, text).unwrap();
    Request {
        compress: Compression::None,
        ..Request::new(modules_dir, profile, room.join("init"))
    }
}

const RULES: &str = "paths = [\"kernel/drivers/{ata,none}/**\"]\nalways = [\"dm-verity\"]\nnames = [\"fs-ext4\"]\n\
    exclude = [\"**/pata_*\", \"kernel/none/*\"]\nfirmware = true\noptions = { libata = \"force=1\" }";

/// The init reads 3,072 bytes of it; what is cut has no valid signature.
#[test]
fn signature_of_the_root_hash_that_the_init_cannot_read() {
    let (room, modules) = kernel();
    let mut request = request(room.path(), &modules, RULES);
    let profile = fs::read_to_string(&request.profile).unwrap();
    let verity = "[verity]\nroot_hash_signature = \"/usr.sig\"\n";
    fs::write(&request.profile, format!("{profile}{verity}")).unwrap();
    let file = room.path().join("sig");
    request.extra.push(("/usr.sig".to_owned(), file.clone()));
    fs::write(&file, [0; 3072]).unwrap();
    build(&request).unwrap();
    fs::write(&file, [0; 3073]).unwrap();
    for path in ["/usr.sig", "usr.sig"] {
        request.extra = vec![(path.to_owned(), file.clone())];
        let error = build(&request).unwrap_err().to_string();
        assert!(error.contains("sig: 3073 bytes"), "{error}");
        assert!(error.contains("-nocerts"), "{error}");
    }
}

#[test]
fn archive_and_manifest() {
    let (room, modules) = kernel();
    let request = Request {
        module_pack: Some(Pack::Always),
        ..request(room.path(), &modules, RULES)
    };
    let Built { archive, manifest } = build(&request).unwrap();
    let again = build(&request).unwrap();
    assert_eq!(archive, again.archive);
    assert_eq!(manifest, again.manifest);

    let [front, entries] = &cpio::unpack_all(&archive).unwrap()[..] else {
        panic!("not two archives");
    };
    let [packed] = &front[..] else {
        panic!("{front:?}");
    };
    assert_eq!(
        (packed.path.as_str(), packed.mode),
        ("toehold.pack", 0o100_644)
    );
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let want = "init toehold.plan dev dev/console dev/null etc etc/note lib lib/firmware lib/firmware/ahci.bin lib/modules \
        proc run sbin sbin/modprobe stage2 stage2/image stage2/root stage2/rw sys sysusr sysusr/usr";
    assert_eq!(paths, want.split_whitespace().collect::<Vec<_>>());
    let plan = Plan::parse(&entries[1].data).unwrap();
    let unpacked = pack::decode(&packed.data, &plan).unwrap();
    assert_eq!(unpacked.len(), 7);
    for module in &unpacked {
        assert!(
            module.file.starts_with(b"\x7fELF"),
            "{} is still compressed",
            module.name
        );
    }

    assert_eq!(manifest.missing_firmware, ["none.bin"]);
    assert_eq!(
        manifest.warnings,
        ["modules.exclude: no module of this kernel matches \"kernel/none/*\""]
    );
    assert_eq!(manifest.totals.modules, 7);
    assert_eq!(manifest.totals.archive_bytes, archive.len());
    for (path, kind, source, why) in [
        ("init", Kind::Init, None, "init"),
        (
            "lib/modules/dm_verity.ko",
            Kind::Module,
            Some("kernel/drivers/md/dm-verity.ko.zst"),
            "always",
        ),
        (
            "lib/modules/dm_mod.ko",
            Kind::Module,
            Some("kernel/drivers/md/dm-mod.ko.xz"),
            "dependency of dm-verity",
        ),
        (
            "lib/modules/sha256_slow.ko",
            Kind::Module,
            Some("kernel/crypto/sha256-slow.ko"),
            "soft dependency of dm-verity (sha256)",
        ),
        (
            "lib/modules/ahci.ko",
            Kind::Module,
            Some("kernel/drivers/ata/ahci.ko"),
            "paths: kernel/drivers/{ata,none}/**",
        ),
        (
            "lib/firmware/ahci.bin",
            Kind::Firmware,
            Some("ahci.bin"),
            "firmware of ahci",
        ),
        ("etc/note", Kind::File, None, "emergency.extra_files"),
        (
            "sbin/modprobe",
            Kind::Symlink,
            None,
            "answers the kernel's requests for modules",
        ),
        ("sysusr", Kind::Directory, None, "holds sysusr/usr"),
    ] {
        let item = manifest
            .entries
            .iter()
            .find(|item| item.path == path)
            .unwrap();
        assert_eq!(
            (item.kind, item.source.as_deref(), item.why.as_str()),
            (kind, source, why),
            "{path}"
        );
    }

    // The pack stands first, and what is in it; then everything else as in its archive.
    let (first, rest) = manifest.entries.split_first().unwrap();
    assert_eq!(
        (first.path.as_str(), first.kind, first.bytes),
        ("toehold.pack", Kind::Pack, packed.data.len())
    );
    let (items, rest) = rest.split_at(unpacked.len());
    for (item, module) in items.iter().zip(&unpacked) {
        assert_eq!(item.module(), Some(module.name.as_str()));
        assert_eq!(item.group, Some(module.group), "{}", item.path);
        assert_eq!(item.bytes, module.file.len(), "{}", item.path);
    }
    let others: Vec<&str> = rest.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(others, paths);
    assert!(
        rest.iter()
            .all(|item| item.group.is_none() && item.packed_bytes.is_none())
    );
    // Beside the modules there is what is known of each group and of its streams; a module's share of each is rounded down.
    let groups: BTreeSet<usize> = unpacked.iter().map(|module| module.group).collect();
    let known = MAGIC.len() + groups.len() * (ENTRY + 8 * STREAMS);
    let shares: usize = items.iter().map(|item| item.packed_bytes.unwrap()).sum();
    let rounded = packed.data.len() - known - shares;
    assert!(
        rounded < STREAMS * items.len(),
        "{rounded} of {shares} bytes"
    );

    let want = [
        ("group_0", GROUP, &[][..]),
        // dm_verity waits for all of them: those with more to say are larger.
        ("sha256_fast", ALWAYS, &[(0, false)]),
        ("reed_solomon", ALWAYS, &[(0, false)]),
        ("sha256_slow", ALWAYS, &[(0, false)]),
        ("dm_mod", ALWAYS, &[(0, false)]),
        (
            "dm_verity",
            ALWAYS,
            &[(0, false), (1, true), (2, false), (3, true), (4, false)],
        ),
        ("group_1", GROUP, &[]),
        ("libata", 0, &[(6, false)]),
        ("ahci", 0, &[(6, false), (7, false)]),
    ];
    assert_eq!(plan.modules().count(), want.len());
    for (module, (name, flags, dependencies)) in plan.modules().zip(want) {
        assert_eq!(module.name.escape_ascii().to_string(), name);
        assert_eq!(module.flags, flags, "{name}");
        assert_eq!(
            module.dependencies().collect::<Vec<_>>(),
            dependencies,
            "{name}"
        );
    }
    assert_eq!(plan.modules().nth(7).unwrap().options, b"force=1");
    assert_eq!(plan.setting(Key::Release), Some(&b"1.2.3"[..]));
}

#[test]
fn refusals_say_why() {
    let (room, modules) = kernel();
    for (rules, want) in [
        (
            "names = [\"dm-veritas\"]",
            "modules.names: this kernel has no module, alias or built-in \"dm-veritas\"; close to it: dm-verity",
        ),
        (
            "always = [\"nothing_like_it\"]",
            "modules.always: this kernel has no module",
        ),
        (
            "names = [\"loop-a\"]",
            "in a circle: loop-a -> loop-b -> loop-a",
        ),
        (
            "names = [\"orphan\"]",
            "kernel/fs/orphan.ko: depends on nowhere, which is neither in",
        ),
        ("paths = [\"kernel/{a\"]", "is no glob pattern"),
        (
            "paths = [\"kernel/drivers/{atta,scsi}/**\"]",
            "modules.paths: this kernel has nothing, as a module or built in, that \"kernel/drivers/{atta,scsi}/**\" \
             matches; close to it: kernel/drivers/ata",
        ),
        ("names = [\"fs-ext3\"]", "; close to it: fs-ext4"),
        ("strip = \"sometimes\"", "unknown variant"),
        ("options = { sha256 = \"x\" }", "alias of several modules"),
    ] {
        let error = format!(
            "{:#}",
            build(&request(room.path(), &modules, rules)).unwrap_err()
        );
        assert!(error.contains(want), "{error}\nlacks {want}");
    }
    let twice = Request {
        extra: vec![("/init".to_owned(), room.path().join("init"))],
        ..request(room.path(), &modules, "")
    };
    assert!(format!("{:#}", build(&twice).unwrap_err()).contains("/init is in the initrd twice"));
    let elsewhere = request(room.path(), &room.path().join("lib/firmware"), "");
    assert!(format!("{:#}", build(&elsewhere).unwrap_err()).contains("no kernel modules there"));
}

#[test]
fn names_as_modprobe_takes_them() {
    let (_room, modules) = kernel();
    write_module(&modules, "updates/ahci.ko", &["alias=newer"]);
    let catalogue = Catalogue::read(&modules).unwrap();
    let names = |text| match catalogue.find(text) {
        Found::Modules(found) => found
            .iter()
            .map(|number| catalogue.modules[*number].name.as_str())
            .collect(),
        Found::Builtin => vec!["(built in)"],
        Found::Nothing => vec![],
    };
    assert_eq!(names("dm_verity"), ["dm-verity"]);
    assert_eq!(names("sha256"), ["sha256-fast", "sha256-slow"]);
    assert_eq!(names("crypto_sha256"), ["sha256-fast"]);
    assert_eq!(names("builtin_one"), ["(built in)"]);
    assert_eq!(names("fs-ext4"), ["(built in)"]);
    assert_eq!(names("newer"), ["ahci"], "updates/ hides the kernel's own");
    assert_eq!(
        names("pci:v00008086d00002922sv1sd2bc3sc4i5"),
        Vec::<&str>::new()
    );
}
