//! The release's Debian package, installed by apt, and the hooks in it while a kernel's package comes and goes.

use std::fs;
use std::path::Path;

use xtask::lab::debian::Debian;
use xtask::lab::paths;
use xtask::lab::qemu::Source;
use xtask::release::dist::Release;

use crate::harness::Boot;
use crate::{IMAGE, expect};

/// systemd-boot's own hook calls kernel-install only where there is its boot loader, which looks like this. Layout and name of the entries would
/// otherwise depend on the machine. Its hook for initramfs-tools would bring that one's initrd.
const SYSTEMD_BOOT: &str = "
mkdir -p /efi/EFI/systemd /etc/kernel
cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi /efi/EFI/systemd
printf 'layout=bls\\ninitrd_generator=toehold\\nBOOT_ROOT=/efi\\n' >/etc/kernel/install.conf
echo machine >/etc/kernel/entry-token
echo root=LABEL=ROOT >/etc/kernel/cmdline
rm /etc/initramfs/post-update.d/systemd-boot
";

/// Runs a script in it, with systemd content with a folder in the place of the EFI system partition.
fn run(debian: &Debian, script: &str) -> String {
    let script = format!("export SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_ESP_PATH=/efi\n{script}");
    debian.run(&script).expect("the script")
}

/// A system with the package of this release in it as `/toehold.deb`, not installed.
pub fn with_the_package() -> (Debian, Release) {
    let debian = Debian::copy().expect("Debian");
    let release = Release::build().expect("a release");
    let deb = release.deb().expect("a package");
    fs::write(debian.root().join("toehold.deb"), deb).expect("a file");
    (debian, release)
}

/// Takes root, for a system of its own.
#[test]
#[ignore = "slow: a Debian system, and an optimised build of the builder"]
fn kernels_come_and_go_in_a_debian_with_the_package() {
    let (debian, release) = with_the_package();
    package_is_installed(&debian);
    run(&debian, SYSTEMD_BOOT);
    let kernel = kernel_is_installed(&debian);
    fs::write(
        debian.root().join("root/toehold-0.tar.gz"),
        release.archive().expect("an archive"),
    )
    .expect("a file");
    archive_does_what_it_says(&debian, &kernel);
    boots(&debian, &kernel);
    hooks_leave_alone_what_is_not_theirs(&debian, &kernel);
    kernel_is_removed(&debian, &kernel);
    package_is_removed(&debian);
}

fn package_is_installed(debian: &Debian) {
    run(debian, "apt-get -qq install /toehold.deb");
    let status = run(debian, "dpkg-query --show --showformat '${Status}' toehold");
    assert_eq!(status, "install ok installed");
    assert_eq!(run(debian, "dpkg --verify toehold"), "");
    let version = run(debian, "toehold-mkinitrd --version");
    assert_eq!(
        version,
        format!("toehold-mkinitrd {}\n", env!("CARGO_PKG_VERSION"))
    );
    let pages = run(
        debian,
        "man --where 1 toehold-mkinitrd 5 toehold.profile 7 toehold.lock 8 toehold",
    );
    assert_eq!(pages.lines().count(), 4, "{pages}");
    // There is no profile yet.
    run(
        debian,
        "/etc/kernel/postinst.d/toehold 6.12 && ! ls /boot/toehold*",
    );
    run(
        debian,
        "mkdir /etc/toehold && cp /usr/share/toehold/profiles/cloud.toml /etc/toehold/profile.toml",
    );
}

/// Returns the kernel's version.
fn kernel_is_installed(debian: &Debian) -> String {
    run(
        debian,
        "apt-get -qq install --no-download linux-image-cloud-amd64",
    );
    let kernel = run(debian, "ls /usr/lib/modules").trim().to_owned();
    let same = run(
        debian,
        &format!(
            "toehold-mkinitrd --modules-dir /usr/lib/modules/{kernel} --profile cloud -o /tmp/same >/dev/null && sha256sum </tmp/same"
        ),
    );
    let entry = format!("/efi/machine/{kernel}");
    for made in [
        format!("/boot/toehold-{kernel}.img"),
        format!("{entry}/initrd"),
    ] {
        assert_eq!(run(debian, &format!("sha256sum <{made}")), same, "{made}");
    }
    // initramfs-tools has made one, too, which is no part of an entry of ours.
    let [beside, staged, text] = [
        format!("ls /boot/initrd.img-{kernel}"),
        format!("ls {entry}"),
        format!("cat /efi/loader/entries/machine-{kernel}.conf"),
    ]
    .map(|script| run(debian, &script));
    assert!(!beside.is_empty());
    assert_eq!(staged, "initrd\nlinux\n");
    let initrds: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("initrd"))
        .collect();
    let [initrd] = initrds[..] else {
        panic!("{text}");
    };
    assert!(
        initrd.ends_with(&format!("/machine/{kernel}/initrd")),
        "{text}"
    );
    assert_eq!(
        run(
            debian,
            "ls /boot /var/tmp | grep -e new -e 'toehold\\.' || true"
        ),
        ""
    );
    kernel
}

/// The commands for those who have the archive alone, as they stand in it: what they make is what the package has made.
fn archive_does_what_it_says(debian: &Debian, kernel: &str) {
    let page = paths::text("xtask/src/release/pages/INSTALL.md").expect("the page");
    let mut blocks = page.split("```sh\n").skip(1);
    let commands = blocks.next().and_then(|block| block.split("```").next());
    let commands = commands.expect("commands").trim();
    assert_eq!(commands.lines().count(), 3, "{commands}");
    let script = format!(
        "cd /root\nuname() {{ echo {kernel}; }}\n{commands}\ncmp initrd.img /boot/toehold-{kernel}.img\n\
         rm -r initrd.img* toehold*"
    );
    let said = run(debian, &script);
    assert!(said.contains("toehold.plan"), "{said}");
}

/// The demo's disk, with the kernel and the initrd that are in /boot.
fn boots(debian: &Debian, kernel: &str) {
    let mut ready = Boot::default().ready();
    let boot = debian.root().join("boot");
    ready.machine.unpacked = None;
    if let Source::Files {
        vmlinuz, initrd, ..
    } = &mut ready.machine.kernel
    {
        *vmlinuz = boot.join(format!("vmlinuz-{kernel}"));
        *initrd = boot.join(format!("toehold-{kernel}.img"));
    }
    let running = ready.start();
    expect::everything(&ready.stage2(running), IMAGE);
}

fn hooks_leave_alone_what_is_not_theirs(debian: &Debian, kernel: &str) {
    let made = format!("/boot/toehold-{kernel}.img");
    let hook = format!("/etc/kernel/postinst.d/toehold {kernel} /boot/vmlinuz-{kernel}");
    let before = run(debian, &format!("sha256sum {made}"));
    // A kernel that is upgraded comes back at once; what fails leaves what was there.
    let rest = [
        format!("DEB_MAINT_PARAMS='upgrade 2' /etc/kernel/postrm.d/toehold {kernel}"),
        format!("DEB_MAINT_PARAMS='abort-upgrade 2' /etc/kernel/postinst.d/toehold {kernel}"),
        "mv /etc/toehold/profile.toml /etc/toehold/good".to_owned(),
        format!("echo 'mode = \"none\"' >/etc/toehold/profile.toml\n! {hook}"),
        format!("! kernel-install add {kernel} /boot/vmlinuz-{kernel}"),
        "mv /etc/toehold/good /etc/toehold/profile.toml".to_owned(),
    ];
    for script in rest {
        assert_eq!(run(debian, &script), "", "{script}");
    }
    assert_eq!(run(debian, &format!("sha256sum {made}")), before);
    // Other names and more options; none where kernel-install is to have it alone.
    let small = format!("-s /boot/small-{kernel}");
    let none = format!("! -e {made}");
    for (line, test) in [
        (
            "INITRD=/boot/small-$VERSION OPTIONS='--compress none'",
            small,
        ),
        ("INITRD=", none),
    ] {
        fs::write(debian.root().join("etc/toehold/hooks.conf"), line).expect("a file");
        let removed = format!("/etc/kernel/postrm.d/toehold {kernel}; ! ls /boot/small-{kernel}");
        let script = format!("rm -f {made}\n{hook}\ntest {test}\n{removed}");
        assert_eq!(run(debian, &script), "", "{line}");
    }
    // Debconf would read what is printed.
    assert_eq!(
        run(debian, &format!("rm /etc/toehold/hooks.conf\n{hook}")),
        ""
    );
    // Another generator of initrds, and initrds that the caller brings.
    let add = format!("kernel-install add {kernel} /boot/vmlinuz-{kernel}");
    let entry = |setting: &str, more: &str| {
        let script = format!(
            "kernel-install remove {kernel}\nsed -i s/=toehold/={setting}/ /etc/kernel/install.conf\n{add} {more}\n\
             sed -i s/={setting}/=toehold/ /etc/kernel/install.conf\nls /efi/machine/{kernel}"
        );
        run(debian, &script)
    };
    assert_eq!(entry("other", ""), format!("initrd.img-{kernel}\nlinux\n"));
    assert_eq!(entry("toehold", "/etc/hostname"), "hostname\nlinux\n");
    assert_eq!(entry("toehold", ""), "initrd\nlinux\n");
}

fn kernel_is_removed(debian: &Debian, kernel: &str) {
    run(debian, "apt-get -qq purge 'linux-image-*'");
    for path in [
        format!("boot/toehold-{kernel}.img"),
        format!("efi/machine/{kernel}"),
    ] {
        assert!(!debian.root().join(&path).exists(), "{path}");
    }
}

fn package_is_removed(debian: &Debian) {
    run(debian, "apt-get -qq remove toehold");
    // Its hooks are configuration files, and stay.
    assert_eq!(run(debian, "/etc/kernel/postinst.d/toehold 6.12"), "");
    run(debian, "dpkg --purge toehold && ! dpkg --status toehold");
    let left = run(
        debian,
        "find / -xdev -name '*toehold*' ! -path /toehold.deb ! -path '/proc/*' ! -path '/var/log/*'",
    );
    assert_eq!(left, "/etc/toehold\n");
    assert!(Path::new(&debian.root().join("etc/toehold/profile.toml")).exists());
}
