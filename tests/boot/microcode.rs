//! Microcode of Debian's packages in front of the initrd: the kernel unpacks what is behind it as ever.

use std::fs;

use xtask::lab::microcode;
use xtask::lab::paths;
use xtask::lab::qemu::Source;

use crate::harness::Boot;
use crate::{IMAGE, expect};

#[test]
fn in_front_of_the_initrd() {
    let mut ready = Boot::default().ready();
    let room = paths::room().expect("a folder");
    if let Source::Files { initrd, .. } = &mut ready.machine.kernel {
        let mut both =
            microcode::archive(&[microcode::debian().expect("Debian")]).expect("microcode");
        both.extend(fs::read(&initrd).expect("an initrd"));
        *initrd = room.path().join("initrd.img");
        fs::write(&initrd, both).expect("an initrd");
    }
    let running = ready.start();
    expect::everything(&ready.stage2(running), IMAGE);
}
