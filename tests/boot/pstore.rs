//! A failure that nobody saw: its report is in pstore when the machine has started again.

use builder::arch::Arch;
use xtask::lab::qemu::firmware::Variables;

use crate::harness::Boot;
use crate::initrds::Wanted;
use crate::rescue::elsewhere;
use crate::{IMAGE, expect};

#[test]
fn a_report_outlives_the_machine() {
    let room = tempfile::tempdir().expect("a folder");
    let variables = Variables::create(Arch::X86_64, &room.path().join("variables")).expect("OVMF");
    let start = |boot: Boot| {
        let mut ready = boot.ready();
        ready.machine.firmware = Some(variables.clone());
        let running = ready.start();
        (ready, running)
    };
    let initrd = Wanted {
        always: &["efi_pstore"],
        settings: "emergency.action = 'panic'",
        ..Wanted::DEMO
    };
    let (_, running) = start(Boot {
        initrd: initrd.clone(),
        words: elsewhere,
        append: "rd.earlytimeout=8",
        ..Boot::default()
    });
    let outcome = running.finish().expect("QEMU");
    let failed = outcome.log.failed().expect("a failure").to_owned();
    assert!(
        failed.starts_with("FAILED stage=device step=wait errno=ETIMEDOUT"),
        "{failed}"
    );
    let end = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100";
    assert!(outcome.log.contains(end), "{}", outcome.log.tail(40));

    let (ready, running) = start(Boot {
        initrd,
        append: "stage2.pstore=yes",
        ..Boot::default()
    });
    let booted = ready.stage2(running);
    expect::everything(&booted, IMAGE);
    let records = booted.report.files.iter();
    let records = records.filter(|(path, _)| path.starts_with("/sys/fs/pstore/"));
    let found: String = records.map(|(_, text)| text.as_str()).collect();
    for begin in [
        "FAILED ",
        "compare devices below",
        "kernel 6.1",
        "wanted: ",
        "block device: ",
    ] {
        let said = outcome.log.toehold();
        let lines: Vec<&str> = said.filter(|line| line.starts_with(begin)).collect();
        assert!(!lines.is_empty(), "no {begin}:\n{}", outcome.log.tail(60));
        for line in lines {
            // The kernel cuts what it keeps where a part of the log is full.
            let kept = line.get(..60).unwrap_or(line);
            assert!(found.contains(kept), "no {line} in\n{found}");
        }
    }
    assert!(found.contains(&failed) && found.contains(end), "{found}");
}
