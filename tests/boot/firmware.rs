//! UEFI with the variable that its boot loader leaves: which partition the machine was started from.

use std::fs;
use std::path::Path;

use xtask::disk::{self, Recipe};
use xtask::kernels::{self, Series};
use xtask::qemu::Machine;
use xtask::qemu::firmware::Variables;
use xtask::{cache, guest, paths};

use crate::initrds::Wanted;

/// Of systemd's Boot Loader Interface.
const VARIABLE: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Variables at `path` that say so, as a loader writes them: UTF-16, ended by a zero. A machine has written them.
pub fn started_from(partuuid: &str, path: &Path) -> Variables {
    let key = cache::key(&[b"variables", partuuid.as_bytes()]);
    let folder = paths::output().join("tests/variables").join(key);
    let folder = cache::folder(&folder, |folder| {
        write(partuuid, &folder.join("variables"));
        Ok(())
    });
    let made = folder.expect("a folder").join("variables");
    fs::copy(made, path).expect("a copy");
    Variables::at(path)
}

/// Boots a kernel whose init is the reporter, which writes the variable.
fn write(partuuid: &str, path: &Path) {
    let kernel = kernels::fetch(Series::Cloud61).expect("a kernel");
    let reporter = guest::program("toehold-stage2").expect("the reporter");
    let reporter = fs::read(reporter).expect("the reporter");
    let initrd = Wanted {
        names: &["efivarfs"],
        ..Wanted::DEMO
    }
    .build(Series::Cloud61, &vec![("/reporter", reporter)]);
    let disk = disk::make(&Recipe::default()).expect("a disk");
    let text: String = partuuid
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let append = format!("rdinit=/reporter stage2.efivar={VARIABLE}:{text}");
    let outcome = Machine {
        firmware: Some(Variables::create(path).expect("OVMF")),
        ..Machine::new(kernel.vmlinuz, initrd.path, disk.path, append)
    }
    .run()
    .expect("QEMU");
    let written = outcome.report.as_ref().map(|report| &report.efivar);
    assert_eq!(written, Some(&Some(Ok(()))), "{}", outcome.log.tail(40));
}
