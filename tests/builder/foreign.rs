//! The initrds of other builders, made on the spot by Debian's own: listed and taken apart like their own tools do it.

use std::{path::PathBuf, process::Command};

use xtask::lab::{
    cache,
    debian::{self, Debian},
    kernels::{self, Kernel, Series},
    paths, tools,
};

use compare::{Case, check};

mod compare;

/// dracut and initramfs-tools exclude each other, but not what they consist of.
const PACKAGES: &str = "bzip2,cpio,dracut-core,initramfs-tools-core,kmod,lz4,lzop,mount,systemd-sysv,udev,util-linux,xz-utils,zstd";

/// A Debian with both, a kernel's modules, and microcode (no real one) where each of them looks for it.
fn root(kernel: &Kernel) -> PathBuf {
    let release = kernel.release.as_str();
    let key = cache::key(&[PACKAGES.as_bytes(), SCRIPT.as_bytes(), release.as_bytes()]);
    let folder = cache::folder(&paths::output().join("foreign").join(key), |folder| {
        let root = folder.join("root");
        debian::bootstrap("bookworm", "essential", PACKAGES, &root)?;
        let config = kernel
            .modules_dir
            .join("../../../boot")
            .join(format!("config-{release}"));
        for (from, to) in [(&kernel.modules_dir, "modules"), (&config, "config")] {
            let mut copy = Command::new("cp");
            tools::run(copy.arg("-r").arg(from).arg(root.join(to)))?;
        }
        debian::run(&root, &SCRIPT.replace("RELEASE", release))?;
        Ok(())
    });
    folder.expect("a Debian with its kernel").join("root")
}

/// What is done once in that Debian. Both ask a kernel's configuration what it can unpack, and dracut whether it takes microcode, which this one
/// for virtual machines does not; initramfs-tools gets microcode by a hook.
const SCRIPT: &str = r#"
mkdir -p /lib/modules
mv /modules /lib/modules/RELEASE
depmod RELEASE
mv /config /boot/config-RELEASE
printf 'CONFIG_MICROCODE=y\nCONFIG_MICROCODE_INTEL=y\n' >> /boot/config-RELEASE
mkdir -p /lib/firmware/intel-ucode /early/kernel/x86/microcode
echo 'no microcode' > /lib/firmware/intel-ucode/06-8e-09
echo 'no microcode, either' > /early/kernel/x86/microcode/GenuineIntel.bin
cd /early
find . | cpio --quiet -o -H newc > /early.cpio
cat > /etc/initramfs-tools/hooks/early <<'END'
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
[ ! -e /wants-early ] || prepend_earlyinitramfs /early.cpio
END
chmod +x /etc/initramfs-tools/hooks/early
"#;

/// Extracts both parts into one place, as the kernel unpacks them.
const LSINITRD: &str = "lsinitrd --unpackearly ../initrd && lsinitrd --unpack ../initrd";
/// Here each archive has a folder of its own where there are several.
const UNMKINITRAMFS: &str = "unmkinitramfs ../initrd . && \
    if [ -d main ]; then mv early main .. && cp -a ../early/. ../main/. . ; fi";

#[test]
#[ignore = "slow: installs a Debian"]
fn dracuts() {
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    let root = root(&kernel);
    let small = |option: &str, compression| {
        let make = format!(
            "dracut --quiet --no-hostonly --no-kernel --kver none --no-early-microcode --modules base {option} initrd"
        );
        (make, compression, false)
    };
    let large = format!(
        "dracut --quiet --no-hostonly --kver {} --early-microcode --zstd initrd",
        kernel.release
    );
    let cases = [
        (large, Some("zstd"), true),
        small("--no-compress", None),
        small("--gzip", Some("gzip")),
        small("--bzip2", Some("bzip2")),
        small("--lzma", Some("lzma")),
        small("--xz", Some("xz")),
        small("--lzo", Some("lzo")),
        small("--lz4", Some("lz4")),
    ];
    for (make, compression, early) in cases {
        let case = Case {
            make,
            list: "lsinitrd initrd",
            extract: if early {
                LSINITRD
            } else {
                "lsinitrd --unpack ../initrd"
            },
            compression,
            early,
        };
        check(
            &root,
            &format!("dracut-{}", compression.unwrap_or("none")),
            &case,
        );
    }
}

#[test]
#[ignore = "slow: installs a Debian"]
fn initramfs_tools() {
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    let root = root(&kernel);
    for (compressor, compression, early) in [
        ("zstd", "zstd", true),
        ("gzip", "gzip", false),
        ("bzip2", "bzip2", true),
        ("lzma", "lzma", false),
        ("xz", "xz", true),
        ("lzop", "lzo", true),
        ("lz4", "lz4", false),
    ] {
        // With one compressor all drivers, with the others none.
        let most = compression == "zstd";
        let modules = if most { "most" } else { "list" };
        let wants = if early { "touch" } else { "rm -f" };
        let make = format!(
            "{wants} /wants-early && cp -r /etc/initramfs-tools conf && \
             echo MODULES={modules} >> conf/initramfs.conf && \
             mkinitramfs -d conf -c {compressor} -o initrd {}",
            kernel.release
        );
        let case = Case {
            make,
            list: "lsinitramfs -l initrd",
            extract: UNMKINITRAMFS,
            compression: Some(compression),
            early,
        };
        check(&root, &format!("initramfs-tools-{compression}"), &case);
    }
}

/// Puts the files of packages into a Debian that has fetched them: a kernel's, which it is to be for, and those of the tools to compare with.
const UNPACK: &str = "
mkdir -p /usr/lib/firmware
cd /var/cache/apt/archives
for package in linux-image-6*.deb initramfs-tools-bin_*.deb initramfs-tools-core_*.deb; do
    dpkg-deb --extract $package /
done";

/// Takes root, for a system of its own with mkosi.
#[test]
#[ignore = "slow: mkosi makes an initrd of Debian's packages"]
fn mkosis() {
    let debian = Debian::copy().expect("Debian");
    debian.run(UNPACK).expect("files");
    let case = Case {
        make: "mkosi-initrd --kernel-version $(ls /usr/lib/modules)".to_owned(),
        list: "lsinitramfs -l initrd",
        extract: UNMKINITRAMFS,
        compression: Some("zstd"),
        early: false,
    };
    check(&debian.root(), "mkosi", &case);
}
