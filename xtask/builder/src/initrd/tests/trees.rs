//! Trees of modules as distributions have them: links, rules of depmod, files that are no modules, odd aliases.

use std::{fs, os::unix::fs::symlink};

use super::{build, kernel, request, write_module};
use crate::kernel::catalogue::{Catalogue, Found};

/// The path of the module with this name.
fn path(catalogue: &Catalogue, name: &str) -> String {
    match catalogue.find(name) {
        Found::Modules(found) => catalogue.modules[found[0]].path.display().to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

/// As RHEL has them: modules of another release that fit, in weak-updates/ and before the kernel's own.
#[test]
fn links_are_followed() {
    let (room, modules) = kernel();
    let other = room.path().join("lib/modules/1.2.2");
    write_module(&other, "extra/vendor/loop-a.ko", &["depends="]);
    write_module(&other, "extra/vendor/fast.ko.xz", &["depends="]);
    fs::create_dir(modules.join("weak-updates")).unwrap();
    symlink(
        other.join("extra/vendor"),
        modules.join("weak-updates/vendor"),
    )
    .unwrap();
    symlink("nowhere.ko", modules.join("weak-updates/gone.ko")).unwrap();
    symlink("..", modules.join("weak-updates/above")).unwrap();
    // Where the kernel was built is none of its folders, there or not.
    symlink("/nowhere", modules.join("build")).unwrap();
    symlink(&other, modules.join("source")).unwrap();

    let catalogue = Catalogue::read(&modules).unwrap();
    assert_eq!(path(&catalogue, "fast"), "weak-updates/vendor/fast.ko.xz");
    assert_eq!(path(&catalogue, "loop-a"), "kernel/fs/loop-a.ko");
    let [above, gone] = catalogue.warnings.as_slice() else {
        panic!("{:?}", catalogue.warnings);
    };
    assert!(
        above.starts_with("left out: ") && above.contains("weak-updates/above"),
        "{above}"
    );
    assert!(gone.contains("weak-updates/gone.ko"), "{gone}");

    fs::create_dir_all(room.path().join("etc/depmod.d")).unwrap();
    let rules = "search updates weak-updates built-in\n";
    fs::write(room.path().join("etc/depmod.d/el.conf"), rules).unwrap();
    let catalogue = Catalogue::read(&modules).unwrap();
    assert_eq!(path(&catalogue, "loop-a"), "weak-updates/vendor/loop-a.ko");
    let built = build(&request(
        room.path(),
        &modules,
        "names = [\"loop-a\", \"fast\"]",
    ))
    .unwrap();
    assert_eq!(built.manifest.totals.modules, 2);
    assert_eq!(built.manifest.warnings.len(), 2);
}

/// As NixOS has them: the folder itself, and all that is in it, are links into a store.
#[test]
fn a_tree_of_links() {
    let (room, modules) = kernel();
    let linked = room.path().join("system/lib/modules");
    fs::create_dir_all(&linked).unwrap();
    symlink(&modules, linked.join("1.2.3")).unwrap();
    // Its name may be that of what is passed over.
    symlink(&modules, linked.join("build")).unwrap();
    assert!(Catalogue::read(&linked.join("build")).is_ok());
    let merged = room.path().join("merged/lib/modules/1.2.3");
    fs::create_dir_all(&merged).unwrap();
    symlink(modules.join("kernel"), merged.join("kernel")).unwrap();
    let rules = "names = [\"ahci\"]";
    let want = build(&request(room.path(), &modules, rules))
        .unwrap()
        .archive;
    let built = build(&request(room.path(), &linked.join("1.2.3"), rules)).unwrap();
    assert!(built.archive == want);
    let built = build(&request(room.path(), &merged, rules)).unwrap();
    assert!(built.archive == want);
}

#[test]
fn what_is_no_module_is_left_out_unless_it_is_needed() {
    let (room, modules) = kernel();
    fs::create_dir(modules.join("extra")).unwrap();
    fs::write(modules.join("extra/broken.ko"), "").unwrap();
    fs::write(modules.join("extra/cut.ko.xz"), "\u{FD}7zXZ").unwrap();
    write_module(&modules, "extra/needs.ko", &["depends=broken"]);
    write_module(
        &modules,
        "extra/likes.ko",
        &["depends=", "softdep=pre: broken"],
    );
    let build = |rules: &str| build(&request(room.path(), &modules, rules));
    let built = build("names = [\"libata\", \"likes\"]").unwrap();
    let warnings = built.manifest.warnings;
    assert!(
        warnings[0].contains("extra/broken.ko: not a kernel module"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("extra/cut.ko.xz"), "{warnings:?}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (rules, want) in [
        ("names = [\"broken\"]", "modules.names: "),
        ("always = [\"cut\"]", "modules.always: "),
        ("names = [\"needs\"]", "extra/needs.ko: depends on broken: "),
    ] {
        let error = format!("{:#}", build(rules).unwrap_err());
        assert!(
            error.contains(want) && error.contains("/extra/"),
            "{error}\nlacks {want}"
        );
    }
}

#[test]
fn aliases_that_nothing_asks_by_are_left_out() {
    let (room, modules) = kernel();
    let tags = [
        "alias=pci:v00001*\tx",
        "alias=dmi:*svnM\u{FC}ller*",
        "alias=of:N*T*C[!0-9]x",
        "alias=usb:v0001p[!a][!b]*",
        "alias=fs-odd",
    ];
    write_module(&modules, "extra/odd.ko", &tags);
    let built = build(&request(room.path(), &modules, "names = [\"odd\"]")).unwrap();
    let warnings = built.manifest.warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for (warning, want) in warnings.iter().zip(["\\t", "\\u{fc}", "more than 4096"]) {
        assert!(
            warning.contains("extra/odd.ko: alias \"") && warning.contains(want),
            "{warning}"
        );
    }
}

#[test]
fn optional_modules() {
    let (room, modules) = kernel();
    let build = |rules: &str| build(&request(room.path(), &modules, rules));
    let rules = "optional = [\"ahci\", \"nvme\", \"fs-ext4\", \"sha256\"]";
    let manifest = build(rules).unwrap().manifest;
    // One is of a kernel with other hardware, one is built in.
    assert_eq!(manifest.warnings, Vec::<String>::new());
    assert_eq!(manifest.totals.modules, 4);
    let error = format!("{:#}", build("names = [\"nvme\"]").unwrap_err());
    assert!(
        error.contains("modules.names: this kernel has no module"),
        "{error}"
    );
}

#[test]
fn firmware_by_patterns() {
    let (room, modules) = kernel();
    write_module(&modules, "extra/radio.ko", &["firmware=radio/fw_*.bin"]);
    let firmware = room.path().join("lib/firmware");
    for file in [
        "radio/fw_1.bin",
        "radio/fw_2.bin.zst",
        "updates/radio/fw_1.bin",
    ] {
        let path = firmware.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let rules = "names = [\"radio\"]\nfirmware = true";
    let built = build(&request(room.path(), &modules, rules)).unwrap();
    let entries = built.manifest.entries.iter();
    let paths: Vec<&str> = entries
        .map(|item| item.path.as_str())
        .filter(|path| path.starts_with("lib/firmware/radio/"))
        .collect();
    assert_eq!(
        paths,
        [
            "lib/firmware/radio/fw_1.bin",
            "lib/firmware/radio/fw_2.bin.zst"
        ]
    );
    assert!(
        built
            .archive
            .windows(22)
            .any(|bytes| bytes == b"updates/radio/fw_1.bin")
    );
}

/// dm-verity may be built in where the fast variants of its hashes are modules.
#[test]
fn wishes_of_what_is_built_in() {
    let (room, modules) = kernel();
    let lists = ["modules.builtin", "modules.builtin.modinfo"].map(|name| modules.join(name));
    let builtin = "kernel/drivers/md/dm-verity.ko\nkernel/drivers/net/card.ko\n";
    fs::write(&lists[0], builtin).unwrap();
    let tags = "card.alias=pci:v1*\0card.softdep=pre: libata\0card.firmware=card/*.bin\0card.firmware=no.bin\0";
    fs::write(&lists[1], tags).unwrap();
    fs::remove_file(modules.join("kernel/drivers/md/dm-verity.ko.zst")).unwrap();
    let firmware = room.path().join("lib/firmware/card");
    fs::create_dir_all(&firmware).unwrap();
    fs::write(firmware.join("a.bin"), "firmware").unwrap();
    let build = |rules: &str| {
        build(&request(room.path(), &modules, rules))
            .unwrap()
            .manifest
    };
    let paths = |rules: &str| -> Vec<String> {
        let entries = build(rules).entries.into_iter();
        let files =
            entries.filter(|item| item.path.ends_with(".bin") || item.path.ends_with(".ko"));
        files.map(|item| item.path).collect()
    };
    let plain = "pack = \"none\"\n";
    assert_eq!(
        paths(&format!("{plain}always = [\"dm-verity\"]")),
        ["lib/modules/sha256_fast.ko"]
    );
    assert_eq!(
        paths(&format!("{plain}names = [\"pci:v1\"]\nfirmware = true")),
        ["lib/firmware/card/a.bin", "lib/modules/libata.ko"]
    );
    assert_eq!(
        build("names = [\"card\"]\nfirmware = true").missing_firmware,
        ["no.bin"]
    );
}
